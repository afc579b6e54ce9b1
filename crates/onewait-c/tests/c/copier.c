/*
 * Reads of what the page cache holds, and writes of whole pages into it, which a thread may do beside the one that submits
 * them: what such a request promises holds whoever does it. Here that thread gets all that it can take.
 */
#include "check.h"
#include <sys/mman.h>
#include <sys/syscall.h>

/* PIECE is the most that may be copied beside the caller, and takes some time. */
enum { PAGE = 4096, DEPTH = 24, PIECE = 16 * PAGE };

static char pages[DEPTH][PAGE] __attribute__((aligned(PAGE)));
static struct aiocb cbs[DEPTH];

/* Before the first call: the library looks at its environment once. */
static void with_copier(void) { SET_UP(setenv("ONEWAIT_COPIER", "always", 1) == 0); }

/* Writes DEPTH pages of a round, each with the round's number in it. */
static void write_pages(int fd, unsigned char round) {
    for (int i = 0; i < DEPTH; i++) {
        memset(pages[i], round, PAGE);
        cbs[i] = REQUEST(fd, pages[i], PAGE, (off_t)i * PAGE);
        CHECK_EQ(aio_write(&cbs[i]), 0);
    }
}

/* The same with larger pieces: when the last one was submitted, the first are just being written. */
static void write_pieces(int fd, unsigned char round) {
    static char pieces[PIECE];
    memset(pieces, round, PIECE);
    for (int i = 0; i < DEPTH; i++) {
        cbs[i] = REQUEST(fd, pieces, PIECE, (off_t)i * PIECE);
        CHECK_EQ(aio_write(&cbs[i]), 0);
    }
}

static void finish_pages(void) {
    for (int i = 0; i < DEPTH; i++) CHECK_EQ(finish(&cbs[i]), PAGE);
}

static void check_pages(int fd, unsigned char round) {
    static unsigned char content[DEPTH * PAGE];
    CHECK_EQ(pread(fd, content, sizeof content, 0), sizeof content);
    for (size_t i = 0; i < sizeof content; i++) CHECK_EQ(content[i], round);
}

TEST(same, rule_30_what_was_written_is_there_when_the_status_says_so) {
    with_copier();
    int fd = pattern_file("data", DEPTH * PAGE);
    for (int round = 0; round < 200; round++) {
        write_pages(fd, (unsigned char)round);
        finish_pages();
        check_pages(fd, (unsigned char)round);
    }
}

/* In memory, so that the sync itself takes no time. */
TEST(same, rule_57_a_sync_covers_the_pages_before_it) {
    with_copier();
    int fd = memfd_create("data", MFD_CLOEXEC);
    SET_UP(fd >= 0);
    for (int round = 0; round < 100; round++) {
        write_pieces(fd, (unsigned char)round);
        struct aiocb sync = REQUEST(fd, NULL, 0, 0);
        CHECK_EQ(aio_fsync(O_DSYNC, &sync), 0);
        CHECK_EQ(finish(&sync), 0);
        for (int i = 0; i < DEPTH; i++) CHECK_EQ(aio_error(&cbs[i]), 0);
    }
}

TEST(ours, rule_76_pages_of_a_closed_descriptor_go_to_its_file) {
    with_copier();
    int other = pattern_file("other", DEPTH * PAGE), fd = pattern_file("data", DEPTH * PAGE);
    for (int round = 1; round < 100; round++) {
        write_pages(fd, (unsigned char)round);
        if (round % 2) {
            CHECK_EQ(dup2(other, fd), fd);
        } else {
            CHECK_EQ(close(fd), 0);
            SET_UP(dup(other) == fd);
        }
        finish_pages();
        static char content[DEPTH * PAGE];
        CHECK_EQ(pread(fd, content, sizeof content, 0), sizeof content);
        check_pattern(content, sizeof content, 0);
        SET_UP(close(fd) == 0 && open("data", O_RDWR) == fd);
        check_pages(fd, (unsigned char)round);
    }
}

TEST(same, rule_48_whatever_cancel_says_of_pages_is_so) {
    with_copier();
    int fd = memfd_create("data", MFD_CLOEXEC);
    SET_UP(fd >= 0);
    for (int round = 0; round < 200; round++) {
        write_pieces(fd, (unsigned char)round);
        int first = round % 2 ? 0 : DEPTH - 1;
        int verdict = aio_cancel(fd, round % 2 ? NULL : &cbs[first]);
        for (int i = first; i < DEPTH; i++) {
            int status = aio_error(&cbs[i]);
            if (verdict == AIO_ALLDONE) CHECK_EQ(status, 0);
            if (verdict == AIO_CANCELED) CHECK(status == 0 || status == ECANCELED);
        }
        for (int i = 0; i < DEPTH; i++) {
            int status = wait_for(&cbs[i]);
            CHECK(status == 0 || status == ECANCELED);
            CHECK_EQ(aio_return(&cbs[i]), status == 0 ? PIECE : -1);
        }
    }
}

/* A close that nobody sees, and the number is a pipe's. */
TEST(ours, pages_go_into_a_pipe_that_has_the_number_of_a_file) {
    with_copier();
    int fd = pattern_file("data", DEPTH * PAGE), ends[2];
    write_pages(fd, 1);
    finish_pages();
    silent_pipe(ends);
    SET_UP(syscall(SYS_dup3, ends[1], fd, O_CLOEXEC) == fd);
    /* More than the pipe takes: what must wait, must not keep files waiting. */
    enum { MANY = 40 };
    static struct aiocb streams[MANY];
    static char numbered[MANY][PAGE];
    for (int i = 0; i < MANY; i++) {
        memset(numbered[i], i, PAGE);
        streams[i] = REQUEST(fd, numbered[i], PAGE, 0);
        CHECK_EQ(aio_write(&streams[i]), 0);
    }
    int file = open("data", O_RDWR);
    write_pages(file, 2);
    finish_pages();
    for (int i = 0; i < MANY; i++) {
        static char content[PAGE];
        for (ssize_t at = 0, n; at < PAGE; at += n) {
            n = read(ends[0], content + at, PAGE - (size_t)at);
            CHECK(n > 0);
        }
        CHECK_EQ(content[0], i);
        CHECK_EQ(content[PAGE - 1], i);
    }
    for (int i = 0; i < MANY; i++) CHECK_EQ(finish(&streams[i]), PAGE);
}

TEST(same, a_wait_for_pages_and_a_silent_pipe_ends) {
    with_copier();
    int fd = pattern_file("data", DEPTH * PIECE);
    start_blocked();
    for (int round = 0; round < 100; round++) {
        write_pieces(fd, (unsigned char)round);
        const struct aiocb *list[] = {&blocked, NULL, &cbs[DEPTH - 1]};
        CHECK_EQ(aio_suspend(list, 3, NULL), 0);
        CHECK_EQ(aio_error(&cbs[DEPTH - 1]), 0);
        for (int i = 0; i < DEPTH; i++) CHECK_EQ(finish(&cbs[i]), PIECE);
    }
}

/* A lone thread has a ring of its own for what goes to the disk, on which pages do not show. */
TEST(same, a_wait_for_pages_ends_where_reads_went_to_the_disk) {
    with_copier();
    int fd = pattern_file("data", DEPTH * PIECE);
    static char direct[PAGE] __attribute__((aligned(PAGE)));
    struct aiocb read = REQUEST(open("data", O_RDONLY | O_DIRECT), direct, PAGE, 0);
    if (read.aio_fildes < 0) SKIP("no O_DIRECT on this file system: %s", strerror(errno));
    for (int round = 0; round < 100; round++) {
        CHECK_EQ(aio_read(&read), 0);
        CHECK_EQ(finish(&read), PAGE);
        write_pieces(fd, (unsigned char)round);
        for (int i = DEPTH - 1; i >= 0; i--) {
            const struct aiocb *list[] = {&cbs[i]};
            CHECK_EQ(aio_suspend(list, 1, NULL), 0);
            CHECK_EQ(aio_error(&cbs[i]), 0);
        }
        for (int i = 0; i < DEPTH; i++) CHECK_EQ(finish(&cbs[i]), PIECE);
    }
}

TEST(same, rule_64_a_list_of_pages_is_waited_for) {
    with_copier();
    int fd = pattern_file("data", DEPTH * PAGE);
    struct aiocb *list[DEPTH];
    for (int round = 0; round < 200; round++) {
        for (int i = 0; i < DEPTH; i++) {
            memset(pages[i], round, PAGE);
            cbs[i] = REQUEST(fd, pages[i], PAGE, (off_t)i * PAGE);
            cbs[i].aio_lio_opcode = LIO_WRITE;
            list[i] = &cbs[i];
        }
        CHECK_EQ(lio_listio(LIO_WAIT, list, DEPTH, NULL), 0);
        for (int i = 0; i < DEPTH; i++) CHECK_EQ(aio_error(&cbs[i]), 0);
        check_pages(fd, (unsigned char)round);
    }
}

static volatile int signals;

static void count_signal(int signo, siginfo_t *info, void *context) {
    (void)signo, (void)context;
    if (info->si_code == SI_ASYNCIO && aio_error(info->si_value.sival_ptr) == 0)
        __atomic_fetch_add(&signals, 1, __ATOMIC_SEQ_CST);
}

TEST(same, rule_70_a_page_is_written_before_its_signal) {
    with_copier();
    SET_UP(sigaction(SIGRTMIN, &(struct sigaction){.sa_sigaction = count_signal, .sa_flags = SA_SIGINFO}, NULL) == 0);
    int fd = pattern_file("data", DEPTH * PAGE);
    for (int round = 1; round <= 50; round++) {
        for (int i = 0; i < DEPTH; i++) {
            cbs[i] = REQUEST(fd, pages[i], PAGE, (off_t)i * PAGE);
            cbs[i].aio_sigevent.sigev_notify = SIGEV_SIGNAL;
            cbs[i].aio_sigevent.sigev_signo = SIGRTMIN;
            cbs[i].aio_sigevent.sigev_value.sival_ptr = &cbs[i];
            CHECK_EQ(aio_write(&cbs[i]), 0);
        }
        finish_pages();
        EVENTUALLY(signals == round * DEPTH);
    }
}

TEST(ours, rule_77_a_child_has_a_copier_of_its_own) {
    with_copier();
    int fd = pattern_file("data", DEPTH * PAGE);
    for (int round = 1; round < 20; round++) {
        write_pages(fd, (unsigned char)round);
        pid_t child = fork();
        SET_UP(child >= 0);
        if (child == 0) {
            int own = pattern_file("child", DEPTH * PAGE);
            write_pages(own, 7);
            finish_pages();
            check_pages(own, 7);
            _exit(0);
        }
        child_succeeds(child);
        finish_pages();
        check_pages(fd, (unsigned char)round);
    }
}

enum { THREADS = 4 };

static void *write_own_pages(void *arg) {
    int fd = *(int *)arg;
    char page[PAGE];
    for (int round = 0; round < 500; round++) {
        memset(page, round, PAGE);
        struct aiocb requests[8];
        for (int i = 0; i < 8; i++) {
            requests[i] = REQUEST(fd, page, PAGE, (off_t)i * PAGE);
            CHECK_EQ(aio_write(&requests[i]), 0);
        }
        for (int i = 0; i < 8; i++) CHECK_EQ(finish(&requests[i]), PAGE);
        unsigned char byte;
        for (int i = 0; i < 8; i++) {
            CHECK_EQ(pread(fd, &byte, 1, (off_t)i * PAGE + round), 1);
            CHECK_EQ(byte, (unsigned char)round);
        }
    }
    return NULL;
}

TEST(same, rule_79_threads_share_the_copier) {
    with_copier();
    int fds[THREADS];
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        char name[8];
        snprintf(name, sizeof name, "data%d", i);
        fds[i] = pattern_file(name, 8 * PAGE);
        SET_UP(pthread_create(&threads[i], NULL, write_own_pages, &fds[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) CHECK_EQ(pthread_join(threads[i], NULL), 0);
}

static volatile int told;

static void tell(union sigval value) {
    (void)value;
    __atomic_fetch_add(&told, 1, __ATOMIC_SEQ_CST);
}

static void write_and_be_told(int fd) {
    cbs[0] = REQUEST(fd, pages[0], PAGE, 0);
    cbs[0].aio_sigevent.sigev_notify = SIGEV_THREAD;
    cbs[0].aio_sigevent.sigev_notify_function = tell;
    CHECK_EQ(aio_write(&cbs[0]), 0);
}

/* The thread that the writer makes for the program is a second one: a lone thread's ring must be given up before. */
TEST(same, rule_73_a_thread_that_is_told_of_a_page_leaves_no_read_behind) {
    with_copier();
    int fd = pattern_file("data", DEPTH * PAGE), uncached = open("data", O_RDONLY | O_DIRECT);
    if (uncached < 0) SKIP("no O_DIRECT on this file system: %s", strerror(errno));
    static char direct[8][PAGE] __attribute__((aligned(PAGE)));
    struct aiocb reads[8];
    for (int round = 1; round < 100; round += 2) {
        write_and_be_told(fd);
        EVENTUALLY(told == round);
        for (int i = 0; i < 8; i++) {
            reads[i] = REQUEST(uncached, direct[i], PAGE, (off_t)i * PAGE);
            CHECK_EQ(aio_read(&reads[i]), 0);
        }
        write_and_be_told(fd);
        EVENTUALLY(told == round + 1);
        for (int i = 0; i < 8; i++) CHECK_EQ(finish(&reads[i]), PAGE);
    }
}

TEST(same, rule_13_appends_keep_their_order_when_o_append_comes_later) {
    with_copier();
    int fd = pattern_file("data", DEPTH * PAGE);
    for (int round = 0; round < 100; round++) {
        write_pages(fd, (unsigned char)round);
        finish_pages();
        SET_UP(fcntl(fd, F_SETFL, O_APPEND) == 0);
        for (int i = 0; i < DEPTH; i++) {
            memset(pages[i], i, PAGE);
            CHECK_EQ(aio_write(&cbs[i]), 0);
        }
        finish_pages();
        for (int i = 0; i < DEPTH; i++) {
            unsigned char byte;
            CHECK_EQ(pread(fd, &byte, 1, (off_t)(DEPTH + i) * PAGE), 1);
            CHECK_EQ(byte, i);
        }
        SET_UP(fcntl(fd, F_SETFL, 0) == 0 && ftruncate(fd, DEPTH * PAGE) == 0);
    }
}

/* Reads DEPTH pages of a pattern file, from a page on, into cleared buffers. */
static void read_pages(int fd, int first) {
    memset(pages, 0, sizeof pages);
    for (int i = 0; i < DEPTH; i++) {
        cbs[i] = REQUEST(fd, pages[i], PAGE, (off_t)(first + i) * PAGE);
        CHECK_EQ(aio_read(&cbs[i]), 0);
    }
}

/* The pages of a pattern that ends after `end` bytes. */
static void check_pages_read(int first, off_t end) {
    for (int i = 0; i < DEPTH; i++) {
        off_t begin = (off_t)(first + i) * PAGE, left = end - begin;
        ssize_t expected = left < 0 ? 0 : left < PAGE ? (ssize_t)left : PAGE;
        CHECK_EQ(finish(&cbs[i]), expected);
        check_pattern(pages[i], (size_t)expected, begin);
    }
}

TEST(same, rule_30_what_was_read_is_there_when_the_status_says_so) {
    with_copier();
    int fd = pattern_file("data", 2 * DEPTH * PAGE);
    for (int round = 0; round < 400; round++) {
        read_pages(fd, round % DEPTH);
        check_pages_read(round % DEPTH, 2 * DEPTH * PAGE);
    }
}

TEST(same, rule_11_reads_of_cached_pages_end_where_the_file_does) {
    with_copier();
    enum { END = DEPTH / 2 * PAGE + 1234 };
    int fd = pattern_file("data", END);
    for (int round = 0; round < 50; round++) {
        read_pages(fd, 0);
        check_pages_read(0, END);
    }
}

/* What the page cache does not hold goes on to the driver, in part or as a whole. */
TEST(same, reads_of_pages_that_are_no_longer_cached_are_carried_out) {
    with_copier();
    int fd = pattern_file("data", DEPTH * PIECE);
    SET_UP(fsync(fd) == 0 && posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM) == 0);
    static char pieces[DEPTH][PIECE];
    for (int round = 0; round < 40; round++) {
        memset(pieces, 0, sizeof pieces);
        CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
        /* The first half of each piece is in the cache again. */
        for (int i = 0; round % 2 && i < DEPTH; i++)
            SET_UP(pread(fd, pieces[i], PIECE / 2, (off_t)i * PIECE) == PIECE / 2);
        for (int i = 0; i < DEPTH; i++) {
            cbs[i] = REQUEST(fd, pieces[i], PIECE, (off_t)i * PIECE);
            CHECK_EQ(aio_read(&cbs[i]), 0);
        }
        for (int i = DEPTH - 1; i >= 0; i--) {
            const struct aiocb *list[] = {&cbs[i]};
            CHECK_EQ(aio_suspend(list, 1, NULL), 0);
            CHECK_EQ(finish(&cbs[i]), PIECE);
            check_pattern(pieces[i], PIECE, (off_t)i * PIECE);
        }
    }
}

TEST(ours, rule_76_reads_of_a_closed_descriptor_are_of_its_file) {
    with_copier();
    int other = pattern_file("other", 10), fd = pattern_file("data", DEPTH * PAGE);
    for (int round = 0; round < 100; round++) {
        read_pages(fd, 0);
        CHECK_EQ(dup2(other, fd), fd);
        check_pages_read(0, DEPTH * PAGE);
        SET_UP(close(fd) == 0 && open("data", O_RDWR) == fd);
        read_pages(fd, 0);
        check_pages_read(0, DEPTH * PAGE);
    }
}

/* A close that nobody sees, and the number is an empty pipe's: nothing of files may stand behind it. */
TEST(ours, reads_wait_for_a_pipe_that_has_the_number_of_a_file) {
    with_copier();
    int fd = pattern_file("data", DEPTH * PAGE), ends[2];
    read_pages(fd, 0);
    check_pages_read(0, DEPTH * PAGE);
    silent_pipe(ends);
    SET_UP(syscall(SYS_dup3, ends[0], fd, O_CLOEXEC) == fd);
    static struct aiocb streams[DEPTH];
    static char bytes[DEPTH][PAGE]; /* whole pages, which the copier is given */
    for (int i = 0; i < DEPTH; i++) {
        streams[i] = REQUEST(fd, bytes[i], PAGE, 0);
        CHECK_EQ(aio_read(&streams[i]), 0);
    }
    int file = open("data", O_RDONLY);
    for (int round = 0; round < 10; round++) {
        read_pages(file, 0);
        check_pages_read(0, DEPTH * PAGE);
    }
    for (int i = 0; i < DEPTH; i++) {
        CHECK_EQ(aio_error(&streams[i]), EINPROGRESS);
        char byte = (char)i;
        CHECK_EQ(write(ends[1], &byte, 1), 1);
        CHECK_EQ(finish(&streams[i]), 1);
        CHECK_EQ(bytes[i][0], i);
    }
}

TEST(same, rule_48_whatever_cancel_says_of_cached_reads_is_so) {
    with_copier();
    int fd = pattern_file("data", DEPTH * PAGE);
    for (int round = 0; round < 200; round++) {
        read_pages(fd, 0);
        int verdict = aio_cancel(fd, NULL);
        for (int i = 0; i < DEPTH; i++) {
            int status = wait_for(&cbs[i]);
            if (verdict == AIO_ALLDONE) CHECK_EQ(status, 0);
            CHECK(status == 0 || (verdict != AIO_ALLDONE && status == ECANCELED));
            CHECK_EQ(aio_return(&cbs[i]), status == 0 ? PAGE : -1);
            if (status == 0) check_pattern(pages[i], PAGE, (off_t)i * PAGE);
        }
    }
}

/* Reads with a bad buffer fail, and those beside them do not. */
TEST(same, rule_10_a_bad_buffer_among_cached_reads_gives_efault) {
    with_copier();
    int fd = pattern_file("data", DEPTH * PAGE);
    char *hole = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    SET_UP(hole != MAP_FAILED);
    for (int round = 0; round < 50; round++) {
        memset(pages, 0, sizeof pages);
        for (int i = 0; i < DEPTH; i++) {
            cbs[i] = REQUEST(fd, i % 3 ? pages[i] : hole, PAGE, (off_t)i * PAGE);
            CHECK_EQ(aio_read(&cbs[i]), 0);
        }
        for (int i = 0; i < DEPTH; i++) {
            CHECK_EQ(wait_for(&cbs[i]), i % 3 ? 0 : EFAULT);
            CHECK_EQ(aio_return(&cbs[i]), i % 3 ? PAGE : -1);
            if (i % 3) check_pattern(pages[i], PAGE, (off_t)i * PAGE);
        }
    }
}
