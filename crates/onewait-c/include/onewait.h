/*
 * onewait.h - one wait for everything that a program waits for: sockets, files, timers, signals, children, its own
 * events and channels.
 *
 *     cc program.c -I include -L target/release -lonewait
 *
 *     ow_reactor *reactor = ow_reactor_create(NULL);
 *     ow_queue *queue = ow_queue_create(0);
 *     ow_add_fd(reactor, listener, EPOLLIN, LISTENER);
 *     ow_add(reactor, ow_queue_source(queue), EPOLLIN, COMPLETIONS);
 *     ow_timer_arm(reactor, 1000000000, TICK, NULL);
 *     for (;;) {
 *         struct ow_ready ready[64];
 *         int count = ow_reactor_wait(reactor, ready, 64, -1);
 *         for (int i = 0; i < count; i++)
 *             switch (ready[i].token) { ... }
 *     }
 *
 * examples/echo.c, beside this directory, is a server with all of it; examples/echo_completion.c one with sockets by
 * completion. What holds for all functions:
 *
 * Results. A function that returns a pointer gives NULL if it fails; the others give 0 or a count, or -1 if they fail. Then
 * errno says why; it means nothing otherwise. A null handle, or a null pointer where none is allowed, is EINVAL. ENOMEM,
 * EMFILE and ENFILE can come from every function that makes or adds something.
 *
 * Times are in nanoseconds. A timeout is the most that a call waits: -1 (or any negative one) for ever, 0 not at all. No
 * wait ends early, but for what it says itself.
 *
 * Tokens are 64 bits of yours, and come back as they were given. A pointer fits: (uint64_t)(uintptr_t)pointer; for
 * instance to a structure with a function to call.
 *
 * Handles are yours until you destroy them, which is when nobody uses them any more. Destroying NULL does nothing. What is
 * destroyed while a reactor watches it leaves that reactor, silently, as a descriptor does that is closed. They can be
 * destroyed in any order.
 *
 * Threads. Everything may be called from any thread at any time, by several at once too, with two exceptions: a
 * reactor's wait, its timers and its sockets belong to one thread at a time (EBUSY); and where it has sockets on
 * io_uring, its wait and these belong to the thread that attached the first of them (EEXIST).
 *
 * Signal handlers may call ow_wake, and nothing else. No function is a cancellation point, or raises a signal.
 *
 * fork(2). A child makes handles of its own, and these work. Of those that it inherits: a queue refuses everything with
 * ECHILD, and what is in flight ends in the parent only; with a reactor it shares the descriptors that are watched, as
 * with an epoll(7), and has timers, events and channels as copies; but one that has sockets refuses these and its wait with
 * ECHILD. It may destroy all of them, without effect on its parent, and need not. But if another thread was inside a
 * function of this library at that moment, or requests were in flight, it leaves inherited handles alone. Children of
 * vfork(2) call nothing here. Descriptors that the library has made are closed by exec.
 */
#ifndef ONEWAIT_H
#define ONEWAIT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- version --------------------------------------------------------------------------------------------------- */

#define OW_VERSION_MAJOR 0
#define OW_VERSION_MINOR 1
#define OW_VERSION_PATCH 0
#define OW_VERSION (OW_VERSION_MAJOR * 1000000 + OW_VERSION_MINOR * 1000 + OW_VERSION_PATCH)

/* The version of the library that runs, in the form of OW_VERSION. */
int ow_version(void);

/* ---- reactor --------------------------------------------------------------------------------------------------- */

/* Waits for all that it watches. */
typedef struct ow_reactor ow_reactor;

/* What a wait reports: an item that is ready. */
struct ow_ready {
    uint64_t token;
    uint32_t events; /* as struct epoll_event has them; of a timer EPOLLIN */
    uint32_t reserved;
};

/* How a reactor is to be. Set everything to 0, then size, then what you want. */
struct ow_reactor_options {
    size_t size;      /* sizeof(struct ow_reactor_options) */
    uint32_t flags;   /* OW_EMBEDDABLE, OW_REFUSE_FILES */
    uint32_t timers;  /* the most timers that can be armed at a time; 0: as many as memory holds */
    uint64_t spin_ns; /* look for events for up to so long before sleeping: an answer that comes meanwhile finds the
                         thread awake, at the price of as much processor time */
    /* of sockets by completion: */
    uint64_t sockets_token; /* what a wait reports when completions are to be taken; 0: OW_SOCKETS */
    size_t socket_memory;   /* the most bytes of all buffers that are received into; 0: 4 MiB */
    uint32_t socket_driver; /* OW_ANY_DRIVER, OW_URING, OW_EPOLL */
    uint32_t reserved;
};

/* Other loops can poll the reactor: see ow_reactor_descriptor. */
#define OW_EMBEDDABLE 1
/* Files without a poll of their own, such as regular ones, are refused with EPERM, as epoll_ctl(2) does. Otherwise they are
 * always ready, as poll(2) says. */
#define OW_REFUSE_FILES 2

/* What a wait reports, with EPOLLIN, when completions of sockets are to be taken, unless the options say otherwise. */
#define OW_SOCKETS ((uint64_t)-1)

/* The best driver that the system allows, or what ONEWAIT_DRIVER asks for. */
#define OW_ANY_DRIVER 0
/* io_uring, or none. */
#define OW_URING 1
/* epoll and plain calls. */
#define OW_EPOLL 2

/* A reactor that watches nothing yet. NULL for the usual options. EINVAL for options that this version does not know. */
ow_reactor *ow_reactor_create(const struct ow_reactor_options *options);

/* What it watched goes on without it. Its sockets are closed, and what they were asked for is cancelled: after this none of
 * your memory is in use, unless they belong to another thread. */
void ow_reactor_destroy(ow_reactor *reactor);

/* Waits until there is something to report, and returns how many of the max places it has filled. 0: the time is over, or
 * ow_wake was used. Timers come first, then sources of the process, then descriptors; each kind gets a part of the room in
 * each turn, however much another has. That sockets have completions is one more event. While there is something to report,
 * a reactor that watches no descriptor, and has no sockets, makes no system call.
 * EINTR: a signal was handled, and there is nothing to report. EINVAL: max is not positive. EBUSY: another thread waits.
 * EEXIST: its sockets belong to another thread. ECHILD: to another process. */
int ow_reactor_wait(ow_reactor *reactor, struct ow_ready *ready, int max, int64_t timeout_ns);

/* Ends a wait without an event, or the next one that would sleep. From any thread, and from signal handlers; errno is left
 * alone. While the reactor is at work this is no system call, and several such wake-ups are one. */
int ow_wake(ow_reactor *reactor);

/* A descriptor that is readable when a wait would report something, for poll(2) and all loops that are made of it. Whoever
 * finds it readable calls ow_reactor_wait with a timeout of 0 until that returns 0. It is the reactor's: do not close it.
 * EINVAL unless the reactor is OW_EMBEDDABLE. */
int ow_reactor_descriptor(ow_reactor *reactor);

/* ---- what it watches ------------------------------------------------------------------------------------------- */

/* Descriptors, as epoll_ctl(2) has it: events are EPOLLIN, EPOLLOUT, ... with EPOLLET, EPOLLONESHOT, EPOLLEXCLUSIVE; the
 * item belongs to the open file and this number; the errors are EEXIST, ENOENT, EBADF, EINVAL, ELOOP, ENOSPC, EPERM.
 * Sockets, pipes, terminals, inotify(7), timerfd_create(2), and whatever else can be polled. */
int ow_add_fd(ow_reactor *reactor, int fd, uint32_t events, uint64_t token);
/* A new interest and token; something that is ready is reported (again), so that a oneshot is armed again. */
int ow_modify_fd(ow_reactor *reactor, int fd, uint32_t events, uint64_t token);
int ow_delete_fd(ow_reactor *reactor, int fd);

/* Whatever else becomes ready: the events, ends of channels, queues, signals and children below have one. It belongs to
 * what it was asked of, and ends with it. */
typedef struct ow_source ow_source;

/* The same for sources, with the same rules of level, edge, oneshot and exclusive, and the same errors. */
int ow_add(ow_reactor *reactor, ow_source *source, uint32_t events, uint64_t token);
int ow_modify(ow_reactor *reactor, ow_source *source, uint32_t events, uint64_t token);
int ow_delete(ow_reactor *reactor, ow_source *source);

/* ---- sockets by completion ------------------------------------------------------------------------------------- */

/* Sockets that a reactor owns, and does things with. What is asked for is done when something comes; that is a
 * completion, to be taken once a wait has reported OW_SOCKETS. With io_uring, one system call a turn does it for all of
 * them; where that is refused, the same calls do the same with epoll.
 *
 *     ow_socket_attach(reactor, listener, &socket);
 *     ow_socket_accept(reactor, socket, 0);
 *     ...
 *     case OW_SOCKETS:
 *         while ((count = ow_sockets_take(reactor, done, 64)) > 0)
 *             for (int i = 0; i < count; i++)
 *                 switch (done[i].kind) { ... }
 *
 * A socket has a number, never 0, that names it until it is closed. It does one of accepting, connecting and receiving
 * at a time, and sends besides.
 *
 * EBADF: there is no such socket. EBUSY: another thread waits. EEXIST: the sockets belong to another thread. ECHILD:
 * they are another process's. These can come from all functions here. */

/* Takes over a socket: a listener, a connection, one that is to be connected, one for datagrams. It is made
 * non-blocking, and is closed by ow_socket_close or with the reactor; if this fails, it is still yours. The first one
 * chooses the driver, which takes descriptors of its own.
 * EBADF, ENOTSOCK; ENOSPC: too many are watched by epoll; EINVAL: ONEWAIT_DRIVER names no driver. If a driver was asked
 * for that the system refuses, the reason for that. */
int ow_socket_attach(ow_reactor *reactor, int fd, uint64_t *socket);

/* Takes each connection that comes to a listener, until it is stopped: each is an OW_ACCEPTED, and a socket here, which
 * is non-blocking and closed by exec. Or takes one.
 * EALREADY: it accepts, connects or receives already, or the last completion of that was not taken. EOPNOTSUPP: it is for
 * messages without connections, as datagrams are. */
int ow_socket_accept(ow_reactor *reactor, uint64_t socket, uint64_t token);
int ow_socket_accept_once(ow_reactor *reactor, uint64_t socket, uint64_t token);

/* Connects to an address, as connect(2) has it, which is copied; whether there is a connection, an OW_CONNECTED says.
 * EALREADY. EINVAL: length is more than that of a struct sockaddr_storage. */
int ow_socket_connect(ow_reactor *reactor, uint64_t socket, const struct sockaddr *address, socklen_t length,
                      uint64_t token);

/* Receives whatever comes, until the other side has sent its last or it is stopped: each part, or message, is an
 * OW_RECEIVED. Or receives once. No memory is used while nothing comes. A message of up to 64 KiB comes whole; a longer
 * one is lost, which an OW_RECEIVED with -EMSGSIZE tells. Of socket_memory messages have at most half, but 1 MiB in any
 * case. EALREADY. ENOMEM: of the first receive of messages. */
int ow_socket_receive(ow_reactor *reactor, uint64_t socket, uint64_t token);
int ow_socket_receive_once(ow_reactor *reactor, uint64_t socket, uint64_t token);

/* What was received, in one of the reactor's buffers. It stays as it is, and is yours to change, until you destroy it,
 * which gives the buffer back: so do it soon. While all buffers are with you, nothing is received. From any thread, and
 * after the reactor was destroyed, too. */
typedef struct ow_received ow_received;
void ow_received_destroy(ow_received *received);

/* Sends all of it, after earlier sends of the same socket, and without SIGPIPE. A send has one completion, OW_SENT.
 *
 * Your memory is not copied: it has to be valid, and is not to be changed, until that completion was taken or the
 * reactor was destroyed. What was received is not yours any more, if this succeeds: its buffer goes back once it is
 * sent. (To send a part of it, send that as memory of yours, and destroy it once the completion was taken.)
 * EAGAIN: 65536 sends are in flight, or were not taken. EINVAL: a length beyond SSIZE_MAX; nothing was received. */
int ow_socket_send(ow_reactor *reactor, uint64_t socket, const void *bytes, size_t length, uint64_t token);
int ow_socket_send_received(ow_reactor *reactor, uint64_t socket, ow_received *received, uint64_t token);

/* Ends accepting, connecting or receiving: a last completion with -ECANCELED follows, unless another one was the last
 * already. Nothing if it does none of them. */
int ow_socket_stop(ow_reactor *reactor, uint64_t socket);

/* Closes a socket; its number names nothing from now on. What it was asked for and has not ended has a last completion
 * with -ECANCELED each, sends too: to be sure that bytes are on their way, wait for their completion. What has happened
 * before can still be taken. */
int ow_socket_close(ow_reactor *reactor, uint64_t socket);

/* The descriptor of a socket, for options and addresses. It is the reactor's: do not close it. */
int ow_socket_descriptor(ow_reactor *reactor, uint64_t socket);

/* What has happened to a socket because it was asked for. */
struct ow_socket_completion {
    uint64_t token;        /* of the call that asked for it */
    uint64_t socket;       /* of which socket */
    uint32_t kind;         /* OW_ACCEPTED, ... */
    uint32_t is_last;      /* 1: nothing else follows from that call; otherwise 0 */
    int64_t result;        /* bytes received or sent, or 0; or an error as -errno */
    uint64_t accepted;     /* of OW_ACCEPTED: the connection, a socket from now on; 0 if there is none */
    void *data;            /* the bytes that were received; of OW_SENT your memory, yours again. NULL for no bytes */
    size_t length;         /* of data */
    ow_received *received; /* of OW_RECEIVED: to be destroyed, or sent. NULL if there are no bytes */
    uint64_t reserved[2];
};

/* A connection came; errors are accept(2)'s. -EMFILE, -ENFILE: there are too many descriptors, and some connections
 * that waited were accepted and closed, so that their clients know. Unless it is the last, accepting goes on. */
#define OW_ACCEPTED 1
/* The connection is there; errors are connect(2)'s. */
#define OW_CONNECTED 2
/* Bytes, or a message; errors are recv(2)'s. 0 bytes: the other side has sent its last, unless it is a datagram.
 * -EMSGSIZE: a message was longer than 64 KiB, and is lost. Unless it is the last, receiving goes on. */
#define OW_RECEIVED 3
/* All was given to the socket. Errors are send(2)'s: -EPIPE or -ECONNRESET if the other side is gone. Some may have
 * been sent. */
#define OW_SENT 4

/* Takes up to max completions, and returns how many. 0: there are none in this turn; wait for more. What is left is
 * reported again. EINVAL: max is not positive. */
int ow_sockets_take(ow_reactor *reactor, struct ow_socket_completion *completions, int max);

/* ---- timers ---------------------------------------------------------------------------------------------------- */

/* Arms a timer: in so many nanoseconds, a wait reports its token, once. It gets a key, to end it by; NULL if you will not.
 * No system call, unless the reactor is OW_EMBEDDABLE; tens of nanoseconds, also with a million armed.
 * EAGAIN: as many are armed as may be. EBUSY: another thread waits. */
int ow_timer_arm(ow_reactor *reactor, uint64_t time_ns, uint64_t token, uint64_t *key);
/* The same, for a moment on CLOCK_MONOTONIC. One that has passed is reported by the next wait. */
int ow_timer_arm_at(ow_reactor *reactor, uint64_t deadline_ns, uint64_t token, uint64_t *key);

/* Gives a timer another time, and another key. ENOENT: it was reported, or ended, before. EBUSY. */
int ow_timer_rearm(ow_reactor *reactor, uint64_t *key, uint64_t time_ns);
int ow_timer_rearm_at(ow_reactor *reactor, uint64_t *key, uint64_t deadline_ns);

/* Ends a timer before its time: no wait reports it any more. token gets its token, unless it is NULL. ENOENT, EBUSY. */
int ow_timer_cancel(ow_reactor *reactor, uint64_t key, uint64_t *token);

/* ---- events ---------------------------------------------------------------------------------------------------- */

/* A counter that is ready to be read while it is not 0: an eventfd(2) without a descriptor and without system calls. */
typedef struct ow_event ow_event;

/* A read takes 1, and not the whole count. */
#define OW_SEMAPHORE 1

/* flags: 0 or OW_SEMAPHORE. EINVAL for other flags, and for UINT64_MAX. */
ow_event *ow_event_create(uint64_t initial, uint32_t flags);
void ow_event_destroy(ow_event *event);

/* EPOLLIN while the count is not 0, and each write is an edge; EPOLLOUT while 1 can be added, and each read is an edge. */
ow_source *ow_event_source(ow_event *event);

/* Adds to the count. EAGAIN: it would go beyond UINT64_MAX - 1. EINVAL for UINT64_MAX. Does not wait. */
int ow_event_write(ow_event *event, uint64_t number);

/* Takes the count, or 1 of it. EAGAIN: it is 0. Does not wait. */
int ow_event_read(ow_event *event, uint64_t *number);

/* ---- channels of bytes ----------------------------------------------------------------------------------------- */

/* Bytes from one end to the other, with the rules of a pipe(7) and of its 64 KiB, without descriptors and without system
 * calls. Both ends may be used by any threads. Nothing waits; nothing raises SIGPIPE. */
typedef struct ow_reader ow_reader;
typedef struct ow_writer ow_writer;

int ow_channel_create(ow_reader **reader, ow_writer **writer);
void ow_reader_destroy(ow_reader *reader);
void ow_writer_destroy(ow_writer *writer);

/* EPOLLIN while there are bytes, and each write is an edge; EPOLLHUP once the writer is gone. */
ow_source *ow_reader_source(ow_reader *reader);
/* EPOLLOUT while there is room for 4096 bytes, and an edge when there is again; EPOLLERR once the reader is gone. */
ow_source *ow_writer_source(ow_writer *writer);

/* Takes up to length bytes, and returns how many. 0: the writer is gone, and nothing is left (or length is 0). EAGAIN:
 * there is nothing yet. */
ssize_t ow_reader_read(ow_reader *reader, void *buffer, size_t length);

/* Puts in as many bytes as there is room for, and returns how many; up to 4096 all or nothing, and in one piece. EAGAIN:
 * there is no room. EPIPE: the reader is gone. */
ssize_t ow_writer_write(ow_writer *writer, const void *buffer, size_t length);

/* ---- signals and children -------------------------------------------------------------------------------------- */

/* Signals that are read, instead of interrupting a thread: a signalfd(2). */
typedef struct ow_signals ow_signals;

/* One signal that came, or several of the same number that came before the first was read. */
struct ow_signal {
    int32_t number; /* SIGTERM, ... */
    int32_t code;   /* why it was sent: si_code of sigaction(2) */
    uint32_t pid;   /* who sent it, or the child that it is about; 0: the kernel */
    uint32_t uid;
    int32_t status; /* of SIGCHLD: the exit status, or the signal that ended, stopped or continued the child */
    uint32_t reserved[3];
};

/* Blocks these signals in the calling thread, and reads them from now on. Call it before there are other threads, which
 * then have them blocked, too: a thread that has not is interrupted by them. They stay blocked after the end.
 * EINVAL for a number that is none, and for SIGKILL and SIGSTOP. */
ow_signals *ow_signals_create(const int *numbers, size_t count);
void ow_signals_destroy(ow_signals *signals);

/* EPOLLIN while one of them is pending, for the process or for the thread that waits. */
ow_source *ow_signals_source(ow_signals *signals);

/* Takes the next one. EAGAIN: none is pending. Does not wait. */
int ow_signals_read(ow_signals *signals, struct ow_signal *signal);

/* A child process, by a pidfd_open(2). Without SIGCHLD. */
typedef struct ow_child ow_child;

/* ESRCH: there is no such process. ENOSYS before Linux 5.3. */
ow_child *ow_child_create(pid_t pid);
/* Neither ends the process nor waits for it. */
void ow_child_destroy(ow_child *child);

/* EPOLLIN once it has ended: waitpid(2) does not wait then. */
ow_source *ow_child_source(ow_child *child);

/* ---- asynchronous input and output ----------------------------------------------------------------------------- */

/* Takes requests, carries them out (by io_uring, or where that is refused by epoll, threads and native AIO; ONEWAIT_DRIVER
 * asks for one of these), and keeps their completions until they are reaped. It has a thread and some descriptors of its
 * own: a program needs one queue, or a few. */
typedef struct ow_queue ow_queue;

struct ow_completion {
    uint64_t token;
    int64_t result; /* bytes transferred, poll(2)'s events, or 0; or an error as -errno */
};

/* A queue for up to limit requests at a time, those included that have ended and were not reaped; 0: the most, 262144.
 * EAGAIN: no thread can be made. EINVAL: ONEWAIT_DRIVER names no driver. If it names one that the system refuses, the
 * reason for that. */
ow_queue *ow_queue_create(size_t limit);

/* Cancels what can be cancelled, and waits for what the kernel is in the middle of, as long as the disk takes. After this
 * no buffer is in use. Writes that had not begun are lost: reap what matters. */
void ow_queue_destroy(ow_queue *queue);

/* EPOLLIN while there are completions to reap; each one is an edge. */
ow_source *ow_queue_source(ow_queue *queue);

/* Requests. Each is on its way, or has ended, when the call returns, and has one completion, with its token. What it is
 * refused for by the system (EBADF, EFAULT, EIO, ENOSPC, ...) is in its completion.
 *
 * The buffer has to be valid, and is not to be touched if it is read into, until the completion was reaped or the queue was
 * destroyed; and the descriptor is to be open for as long. A list of vectors is copied.
 *
 * request gets the number to cancel by, or 0 if the request has ended already; NULL if you will not.
 *
 * Requests are carried out in no order, but: ow_fsync and ow_fdatasync cover all writes to the file that were submitted to
 * this queue before them; on pipes, sockets, terminals and files with O_APPEND, requests keep their order. A transfer can
 * be short, as read(2)'s and write(2)'s can. Offsets are in bytes, and mean nothing where there are no positions. On a
 * descriptor with O_NONBLOCK that is not ready, a transfer ends with EAGAIN.
 *
 * EAGAIN: the queue is full, or the system is short of something. EINVAL: a length beyond SSIZE_MAX, a count of vectors
 * below 0 or above 1024. ECHILD: the queue is inherited. */
int ow_read(ow_queue *queue, int fd, void *buffer, size_t length, int64_t offset, uint64_t token, uint64_t *request);
int ow_write(ow_queue *queue, int fd, const void *buffer, size_t length, int64_t offset, uint64_t token,
             uint64_t *request);
int ow_readv(ow_queue *queue, int fd, const struct iovec *vectors, int count, int64_t offset, uint64_t token,
             uint64_t *request);
int ow_writev(ow_queue *queue, int fd, const struct iovec *vectors, int count, int64_t offset, uint64_t token,
              uint64_t *request);
int ow_fsync(ow_queue *queue, int fd, uint64_t token, uint64_t *request);
int ow_fdatasync(ow_queue *queue, int fd, uint64_t token, uint64_t *request);
/* Waits, once, for one of these events of poll(2): POLLIN, POLLOUT, ... */
int ow_poll(ow_queue *queue, int fd, uint16_t events, uint64_t token, uint64_t *request);

/* What ow_cancel returns, with the numbers of aio_cancel(3). */
#define OW_CANCELED 0
#define OW_NOT_CANCELED 1
#define OW_ALL_DONE 2

/* Cancels a request of this queue, and returns when it is decided: OW_CANCELED, its completion has -ECANCELED, and is there;
 * OW_NOT_CANCELED, it goes on (the disk is at it, say); OW_ALL_DONE, it has ended before. ECHILD. */
int ow_cancel(ow_queue *queue, uint64_t request);

/* Takes up to max completions, in the order in which the requests ended, and returns how many. If there are none, waits for
 * one. 0: the time is over. A signal does not end it. EINVAL: max is not positive. ECHILD. */
int ow_reap(ow_queue *queue, struct ow_completion *completions, int max, int64_t timeout_ns);

/* How many requests are in flight or were not reaped. ECHILD. */
int ow_queue_outstanding(ow_queue *queue);

#ifdef __cplusplus
}
#endif

#endif
