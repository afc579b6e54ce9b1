/* What io_uring itself allows: a bare loop with direct descriptors, multishot accept and receive, and a ring of buffers that
   stays in the cache. Writes its port to its standard output, and echoes until it is killed. */
#define _GNU_SOURCE
#include "echo.h"

#include <liburing.h>

enum {
    MOST_CONNECTIONS = 4096,
    ENTRIES = 4096,
    BUFFERS = 256,
    BUFFER = 4096,
    GROUP = 0,
};
enum kind { ACCEPT, RECEIVE, SEND };

/* A send's buffer, and what of it the socket has not taken. */
struct sending {
    unsigned from, length;
};

static struct io_uring ring;
static struct io_uring_buf_ring *pool;
static char (*buffers)[BUFFER];
static struct sending sendings[BUFFERS];
/* Connections that found no buffer; they are asked again when one has come back. */
static int is_dry[MOST_CONNECTIONS];
static int dry[MOST_CONNECTIONS], dry_count;
static int came_back;

static struct io_uring_sqe *entry(enum kind kind, unsigned connection, unsigned buffer) {
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    if (sqe == NULL) {
        io_uring_submit(&ring);
        sqe = io_uring_get_sqe(&ring);
        if (sqe == NULL) fail("io_uring_get_sqe", EBUSY);
    }
    memset(sqe, 0, sizeof *sqe);
    io_uring_sqe_set_data64(sqe, (__u64)kind << 56 | (__u64)buffer << 32 | connection);
    return sqe;
}

static void receive(unsigned connection) {
    struct io_uring_sqe *sqe = entry(RECEIVE, connection, 0);
    __u64 data = sqe->user_data;
    io_uring_prep_recv_multishot(sqe, (int)connection, NULL, 0, 0);
    sqe->flags = IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
    sqe->buf_group = GROUP;
    sqe->user_data = data;
}

static void send_from(unsigned connection, unsigned buffer) {
    struct sending *sending = &sendings[buffer];
    struct io_uring_sqe *sqe = entry(SEND, connection, buffer);
    __u64 data = sqe->user_data;
    io_uring_prep_send(sqe, (int)connection, buffers[buffer] + sending->from, sending->length, MSG_NOSIGNAL | MSG_WAITALL);
    sqe->flags = IOSQE_FIXED_FILE;
    sqe->user_data = data;
}

static void give_back(unsigned buffer) {
    io_uring_buf_ring_add(pool, buffers[buffer], BUFFER, (unsigned short)buffer, io_uring_buf_ring_mask(BUFFERS), 0);
    io_uring_buf_ring_advance(pool, 1);
    came_back = 1;
}

static void received(unsigned connection, const struct io_uring_cqe *cqe) {
    if (cqe->res > 0) {
        unsigned buffer = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        sendings[buffer] = (struct sending){0, (unsigned)cqe->res};
        send_from(connection, buffer);
        if (!(cqe->flags & IORING_CQE_F_MORE)) receive(connection);
    } else if (cqe->res == -ENOBUFS) {
        if (!is_dry[connection]) {
            is_dry[connection] = 1;
            dry[dry_count++] = (int)connection;
        }
    } else {
        struct io_uring_sqe *sqe = entry(ACCEPT, 0, 1);
        __u64 data = sqe->user_data;
        io_uring_prep_close_direct(sqe, connection);
        sqe->user_data = data;
        sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    }
}

static void sent(unsigned connection, unsigned buffer, int result) {
    struct sending *sending = &sendings[buffer];
    if (result > 0 && (unsigned)result < sending->length) {
        sending->from += (unsigned)result;
        sending->length -= (unsigned)result;
        send_from(connection, buffer);
    } else {
        give_back(buffer);
    }
}

static void take_connections(int listener) {
    struct io_uring_sqe *sqe = entry(ACCEPT, 0, 0);
    __u64 data = sqe->user_data;
    io_uring_prep_multishot_accept_direct(sqe, listener, NULL, NULL, 0);
    sqe->user_data = data;
}

static void set_up(void) {
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL,
        .cq_entries = 2 * ENTRIES,
    };
    int error = io_uring_queue_init_params(ENTRIES, &ring, &params);
    if (error < 0) fail("io_uring_setup", -error);
    error = io_uring_register_ring_fd(&ring);
    if (error < 0) fail("io_uring_register", -error);
    error = io_uring_register_files_sparse(&ring, MOST_CONNECTIONS);
    if (error < 0) fail("IORING_REGISTER_FILES2", -error);
    buffers = aligned_alloc(4096, BUFFERS * BUFFER);
    pool = aligned_alloc(4096, BUFFERS * sizeof(struct io_uring_buf));
    if (buffers == NULL || pool == NULL) fail("aligned_alloc", ENOMEM);
    memset(buffers, 0, BUFFERS * BUFFER);
    struct io_uring_buf_reg registration = {.ring_addr = (__u64)(size_t)pool, .ring_entries = BUFFERS, .bgid = GROUP};
    error = io_uring_register_buf_ring(&ring, &registration, 0);
    if (error < 0) fail("IORING_REGISTER_PBUF_RING", -error);
    io_uring_buf_ring_init(pool);
    for (unsigned i = 0; i < BUFFERS; i++) give_back(i);
}

int main(void) {
    set_up();
    int listener = listen_on_loopback();
    /* Connections inherit it. */
    no_delay(listener);
    take_connections(listener);
    for (;;) {
        int error = io_uring_submit_and_wait(&ring, 1);
        if (error < 0 && error != -EINTR) fail("io_uring_enter", -error);
        struct io_uring_cqe *cqe;
        unsigned head, count = 0;
        io_uring_for_each_cqe(&ring, head, cqe) {
            unsigned connection = (unsigned)cqe->user_data, buffer = cqe->user_data >> 32 & 0xffff;
            count++;
            switch ((enum kind)(cqe->user_data >> 56)) {
            case ACCEPT:
                if (buffer == 1) fail("close", -cqe->res);
                if (cqe->res >= 0) receive((unsigned)cqe->res);
                if (!(cqe->flags & IORING_CQE_F_MORE)) take_connections(listener);
                break;
            case RECEIVE: received(connection, cqe); break;
            case SEND: sent(connection, buffer, cqe->res); break;
            }
        }
        io_uring_cq_advance(&ring, count);
        for (; came_back && dry_count > 0; dry_count--) {
            is_dry[dry[dry_count - 1]] = 0;
            receive((unsigned)dry[dry_count - 1]);
        }
        came_back = 0;
    }
}
