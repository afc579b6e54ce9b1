/* An echo server on libuv, by its quickest way: one buffer for all, uv_try_write, and uv_write for what that leaves. */
#define _GNU_SOURCE
#include "echo.h"

#include <uv.h>

static char buffer[ECHO_BUFFER];

struct writing {
    uv_write_t request;
    char bytes[];
};

static void check(const char *what, int result) {
    if (result < 0) {
        fprintf(stderr, "%s: %s\n", what, uv_strerror(result));
        exit(1);
    }
}

static void lend(uv_handle_t *handle, size_t suggested, uv_buf_t *out) {
    (void)handle, (void)suggested;
    *out = uv_buf_init(buffer, sizeof buffer);
}

static void closed(uv_handle_t *handle) { free(handle); }

static void on_read(uv_stream_t *connection, ssize_t got, const uv_buf_t *in);

static void written(uv_write_t *request, int status) {
    uv_stream_t *connection = request->handle;
    free(request);
    if (uv_is_closing((uv_handle_t *)connection)) return;
    if (status < 0) uv_close((uv_handle_t *)connection, closed);
    else check("uv_read_start", uv_read_start(connection, lend, on_read));
}

static void on_read(uv_stream_t *connection, ssize_t got, const uv_buf_t *in) {
    if (got == 0) return;
    if (got < 0) {
        uv_close((uv_handle_t *)connection, closed);
        return;
    }
    uv_buf_t out = uv_buf_init(in->base, (unsigned)got);
    int sent = uv_try_write(connection, &out, 1);
    if (sent == got) return;
    size_t gone = sent > 0 ? (size_t)sent : 0, left = (size_t)got - gone;
    struct writing *writing = malloc(sizeof *writing + left);
    if (writing == NULL) fail("malloc", ENOMEM);
    memcpy(writing->bytes, in->base + gone, left);
    uv_buf_t rest = uv_buf_init(writing->bytes, (unsigned)left);
    uv_read_stop(connection);
    check("uv_write", uv_write(&writing->request, connection, &rest, 1, written));
}

static void on_connection(uv_stream_t *listener, int status) {
    check("a connection", status);
    uv_tcp_t *connection = malloc(sizeof *connection);
    if (connection == NULL) fail("malloc", ENOMEM);
    check("uv_tcp_init", uv_tcp_init(listener->loop, connection));
    check("uv_accept", uv_accept(listener, (uv_stream_t *)connection));
    check("uv_tcp_nodelay", uv_tcp_nodelay(connection, 1));
    check("uv_read_start", uv_read_start((uv_stream_t *)connection, lend, on_read));
}

int main(void) {
    uv_tcp_t listener;
    struct sockaddr_in address = loopback(0);
    check("uv_tcp_init", uv_tcp_init(uv_default_loop(), &listener));
    check("uv_tcp_bind", uv_tcp_bind(&listener, (struct sockaddr *)&address, 0));
    check("uv_listen", uv_listen((uv_stream_t *)&listener, ECHO_BACKLOG, on_connection));
    uv_os_fd_t fd;
    check("uv_fileno", uv_fileno((uv_handle_t *)&listener, &fd));
    tell_port(fd);
    return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
