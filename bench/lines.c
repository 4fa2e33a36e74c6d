/*
 * How many lines a second a memory monitor serves, and the same bytes over TCP without one.
 *
 *   lines monitor ADDRESS KEY PID fetch|write LINES CLIENTS MS
 *   lines bare    ADDRESS PID fetch|write LINES CLIENTS MS
 *   lines stream  ADDRESS PID fetch|write LINES CLIENTS MS
 *   lines serve
 *   lines hold    ADDRESS KEY LINES
 *
 * monitor: CLIENTS connections, each to an address space of its own, 64 MiB of lines together, ask
 * for (or write) runs of LINES lines, and have IN_FLIGHT lines' worth of requests on their way at a
 * time. Each sends its next requests, as many as were answered, at once. Everything is looked at
 * before and afterwards. bare: the same client, with requests and replies of the same sizes,
 * against `lines serve`, which answers each request with one send from memory of the same size, and
 * does nothing else. stream: bytes in one direction, in sends of the same size, no requests.
 *
 * `busy` is the share of a CPU that process PID, the other end, used meanwhile: where it is less
 * than 1 while the other end has one CPU, the client was what was slow.
 *
 * serve: prints its address. hold: a space of LINES lines until the end of input.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "bench.h"
#include "lines.h"

enum {
    SET_LINES = 16384, /* of all clients together */
    IN_FLIGHT = 256,   /* lines of a connection */
    DEPTH_MIN = 4,     /* requests of a connection, whatever their size */
    WRITE_FRAMES = 16, /* different ones that a client writes */
    CLIENTS_MAX = 64,
    BUFFER = 1 << 20,
    WARM_UP_MS = 300,
    WRITE_ROUNDS = 2, /* what a space holds at first, and what is written over it */
};

/* What a client without a monitor says first. */
struct greeting {
    uint32_t request, reply; /* bytes of each; one is 0: a stream of the other */
};

struct client {
    /* Never change: */
    int fd;
    pthread_t thread;
    uint8_t *requests; /* kinds frames of request_size bytes */
    size_t request_size, reply_size, kinds, depth;
    bool framed;

    _Alignas(64) atomic_uint_least64_t answered; /* relaxed: looked at while it runs */
};

static atomic_bool ending; /* relaxed: seen with the next reply */

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void no_delay(int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/* false: the other end has closed. */
static bool send_whole(int fd, const uint8_t *data, size_t size)
{
    while (size) {
        ssize_t n = send(fd, data, size, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        data += n;
        size -= (size_t)n;
    }
    return true;
}

/* ---- the other end without a monitor ---- */

static uint8_t *served; /* SET_LINES, and a reply more; set before the first client */

static void *serve_one(void *argument)
{
    int fd = (int)(intptr_t)argument;
    uint8_t *buffer = malloc(BUFFER);
    size_t at = 0, have = 0;
    struct greeting sizes;
    bool open = buffer && recv(fd, &sizes, sizeof sizes, MSG_WAITALL) == sizeof sizes;
    while (open) {
        if (sizes.request) {
            ssize_t n = recv(fd, buffer, BUFFER, 0);
            open = n > 0;
            have += open ? (size_t)n : 0;
        }
        while (open && sizes.reply && have >= sizes.request) {
            open = send_whole(fd, served + at, sizes.reply);
            at = (at + sizes.reply) % ((size_t)SET_LINES * LINE_SIZE);
            have -= sizes.request;
        }
    }
    free(buffer);
    close(fd);
    return NULL;
}

static _Noreturn void serve(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    served = malloc((size_t)SET_LINES * LINE_SIZE + FRAME_MAX);
    if (!served)
        fail("malloc");
    memset(served, 1, (size_t)SET_LINES * LINE_SIZE + FRAME_MAX);
    if (bind(listener, (struct sockaddr *)&at, size) < 0 || listen(listener, CLIENTS_MAX) < 0 ||
        getsockname(listener, (struct sockaddr *)&at, &size) < 0)
        fail("listen");
    printf("127.0.0.1:%u\n", ntohs(at.sin_port));
    fflush(stdout);
    for (;;) {
        pthread_t thread;
        int fd = accept(listener, NULL, NULL);
        if (fd < 0)
            fail("accept");
        no_delay(fd);
        if (pthread_create(&thread, NULL, serve_one, (void *)(intptr_t)fd) != 0)
            fail("pthread_create");
        pthread_detach(thread);
    }
}

static int dial(const char *address, const struct greeting *greeting)
{
    const char *port = strrchr(address, ':');
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons((uint16_t)(port ? atoi(port + 1) : 0))};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
        fail(address);
    no_delay(fd);
    if (!send_whole(fd, (const uint8_t *)greeting, sizeof *greeting))
        fail(address);
    return fd;
}

/* ---- the client ---- */

/* Replies as they arrive, in pieces of any size. */
struct replies {
    uint8_t head[WIRE_HEADER_SIZE];
    size_t have; /* bytes of the reply under way */
};

/* Takes what arrived; returns how many replies became whole. Each must be one that succeeded. */
static size_t take(const struct client *c, struct replies *r, const uint8_t *data, size_t size)
{
    size_t whole = 0;
    while (size) {
        size_t n;
        if (c->framed && r->have < sizeof r->head) {
            n = sizeof r->head - r->have < size ? sizeof r->head - r->have : size;
            memcpy(r->head + r->have, data, n);
            struct wire_header header;
            if (r->have + n == sizeof r->head &&
                (wire_header_decode(&header, r->head, FRAME_MAX) < 0 || header.status != 0 ||
                 header.length + sizeof r->head != c->reply_size))
                bench_fail("a reply is wrong", ASH_MALFORMED);
        } else {
            n = c->reply_size - r->have < size ? c->reply_size - r->have : size;
        }
        data += n;
        size -= n;
        r->have += n;
        if (r->have == c->reply_size) {
            r->have = 0;
            whole++;
        }
    }
    return whole;
}

/* Sends the next `count` requests in as few sends as they lie together. */
static bool ask(struct client *c, size_t *next, size_t count)
{
    while (count) {
        size_t run = c->kinds - *next < count ? c->kinds - *next : count;
        if (!send_whole(c->fd, c->requests + *next * c->request_size, run * c->request_size))
            return false;
        *next = (*next + run) % c->kinds;
        count -= run;
    }
    return true;
}

/* Until it is to end: then it waits for what was asked and asks no more. */
static void *run_client(void *argument)
{
    struct client *c = argument;
    struct replies replies = {};
    uint8_t *buffer = malloc(BUFFER);
    size_t next = 0, due = c->depth, asked = 0;
    bool stream = !c->request_size || !c->reply_size, open = buffer;
    while (open) {
        /* Looked at once: what was not asked for is not waited for. */
        bool ends = atomic_load_explicit(&ending, memory_order_relaxed);
        if (ends && (!asked || stream))
            break;
        if (!ends && c->request_size) {
            open = ask(c, &next, due);
            asked += due;
        }
        ssize_t n = c->reply_size && open ? recv(c->fd, buffer, BUFFER, 0) : 0;
        if (c->reply_size) {
            open = open && n > 0;
            due = open ? take(c, &replies, buffer, (size_t)n) : 0;
            asked -= stream ? 0 : due;
        }
        atomic_fetch_add_explicit(&c->answered, due, memory_order_relaxed);
    }
    if (!open)
        bench_fail("a connection ended", ASH_LOST);
    free(buffer);
    return NULL;
}

struct figures {
    uint64_t requests, ns, busy_ns;
};

static uint64_t cpu_ns(clockid_t clock)
{
    struct timespec ts;
    if (clock_gettime(clock, &ts) < 0)
        fail("the other end's clock");
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t answered(struct client *clients, size_t count)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += atomic_load_explicit(&clients[i].answered, memory_order_relaxed);
    return sum;
}

static struct figures measure(struct client *clients, size_t count, pid_t other, unsigned ms)
{
    clockid_t clock;
    if (clock_getcpuclockid(other, &clock) != 0)
        fail("the other end");
    for (size_t i = 0; i < count; i++)
        if (pthread_create(&clients[i].thread, NULL, run_client, &clients[i]) != 0)
            fail("pthread_create");
    usleep(WARM_UP_MS * 1000);
    struct figures f = {
        .requests = answered(clients, count), .ns = bench_ns(), .busy_ns = cpu_ns(clock)};
    usleep(ms * 1000);
    f = (struct figures){.requests = answered(clients, count) - f.requests,
                         .ns = bench_ns() - f.ns,
                         .busy_ns = cpu_ns(clock) - f.busy_ns};
    atomic_store_explicit(&ending, true, memory_order_relaxed);
    for (size_t i = 0; i < count; i++)
        pthread_join(clients[i].thread, NULL);
    return f;
}

static void show(const struct figures *f, uint32_t lines, const struct client *c)
{
    if (!f->requests)
        bench_fail("nothing was answered", ASH_TIMEOUT);
    double seconds = (double)f->ns / 1e9;
    printf(
        "{\"lines_per_s\": %.0f, \"requests_per_s\": %.0f, \"busy\": %.3f, \"request_bytes\": %zu, "
        "\"reply_bytes\": %zu, \"in_flight\": %zu}\n",
        (double)f->requests * lines / seconds, (double)f->requests / seconds,
        (double)f->busy_ns / (double)f->ns, c->request_size, c->reply_size, c->depth);
}

/* ---- what is measured ---- */

struct work {
    bool write;
    uint32_t lines;
    size_t clients;
    unsigned ms;
};

/* The frames of a client's requests, over all the lines of its space (write: over some of them). */
static void make_requests(struct client *c, const struct bench_space *space, const struct work *w)
{
    uint8_t body[FETCH_MAX_LINES + 16], *frame = malloc(WIRE_HEADER_SIZE + FRAME_MAX);
    struct msg_line_fetch_reply fetched = {.kinds = body, .kinds_size = w->lines};
    struct msg_line_write_reply written = {};
    int size = w->write ? msg_line_write_reply_encode(&written, body, sizeof body)
                        : msg_line_fetch_reply_encode(&fetched, body, sizeof body);
    size_t kinds = space->lines / w->lines;
    if (w->write && kinds > WRITE_FRAMES)
        kinds = WRITE_FRAMES;
    *c = (struct client){.fd = space->conn ? net_conn_fd(space->conn) : -1,
                         .kinds = kinds,
                         .depth =
                             IN_FLIGHT / w->lines > DEPTH_MIN ? IN_FLIGHT / w->lines : DEPTH_MIN,
                         .framed = true,
                         .reply_size = WIRE_HEADER_SIZE + (size_t)size +
                                       (w->write ? 0 : (size_t)w->lines * LINE_SIZE)};
    for (size_t k = 0; k < kinds; k++) {
        size_t bytes = w->write ? bench_write_frame(frame, space, k * w->lines, w->lines, 1)
                                : bench_fetch_frame(frame, space, k * w->lines, w->lines);
        if (!c->requests)
            c->requests = malloc(kinds * bytes);
        if (!c->requests || (c->request_size && c->request_size != bytes))
            fail("requests");
        c->request_size = bytes;
        memcpy(c->requests + k * bytes, frame, bytes);
    }
    free(frame);
}

static void of_monitor(const char *address, const char *key, pid_t pid, const struct work *w)
{
    struct bench_space spaces[CLIENTS_MAX];
    static struct client clients[CLIENTS_MAX];
    struct net_conn *monitor = bench_monitor(address, key);
    for (size_t i = 0; i < w->clients; i++) {
        bench_space_make(&spaces[i], monitor, address, SET_LINES / w->clients);
        bench_space_check(&spaces[i], 1);
        make_requests(&clients[i], &spaces[i], w);
    }
    struct figures f = measure(clients, w->clients, pid, w->ms);
    for (size_t i = 0; i < w->clients; i++) {
        bench_space_check(&spaces[i], w->write ? WRITE_ROUNDS : 1);
        bench_space_end(&spaces[i]);
    }
    net_close(monitor);
    show(&f, w->lines, &clients[0]);
}

static void of_tcp(const char *address, pid_t pid, const struct work *w, bool stream)
{
    static struct client clients[CLIENTS_MAX];
    const struct bench_space space = {.lines = SET_LINES / w->clients};
    for (size_t i = 0; i < w->clients; i++) {
        struct client *c = &clients[i];
        make_requests(c, &space, w);
        c->framed = false;
        if (stream)
            *(w->write ? &c->reply_size : &c->request_size) = 0;
        struct greeting greeting = {(uint32_t)c->request_size, (uint32_t)c->reply_size};
        c->fd = dial(address, &greeting);
    }
    struct figures f = measure(clients, w->clients, pid, w->ms);
    show(&f, w->lines, &clients[0]);
}

static int hold(const char *address, const char *key, uint64_t lines)
{
    struct net_conn *monitor = bench_monitor(address, key);
    struct bench_space space;
    bench_space_make(&space, monitor, address, lines);
    puts("held");
    fflush(stdout);
    while (getchar() != EOF)
        ;
    bench_space_end(&space);
    net_close(monitor);
    return 0;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    int at = strcmp(what, "monitor") == 0 ? 4 : 3; /* where PID is */
    bool bare = strcmp(what, "bare") == 0, stream = strcmp(what, "stream") == 0;
    if (strcmp(what, "serve") == 0 && argc == 2)
        serve();
    if (strcmp(what, "hold") == 0 && argc == 5)
        return hold(argv[2], argv[3], strtoull(argv[4], NULL, 0));
    if (argc == at + 5 && (at == 4 || bare || stream)) {
        struct work w = {.write = strcmp(argv[at + 1], "write") == 0,
                         .lines = (uint32_t)bench_argument(argc, argv, at + 2, 0),
                         .clients = bench_argument(argc, argv, at + 3, 0),
                         .ms = (unsigned)bench_argument(argc, argv, at + 4, 0)};
        pid_t pid = atoi(argv[at]);
        if (w.lines && w.lines <= FETCH_MAX_LINES && w.clients && w.clients <= CLIENTS_MAX &&
            w.ms) {
            if (at == 4)
                of_monitor(argv[2], argv[3], pid, &w);
            else
                of_tcp(argv[2], pid, &w, stream);
            return 0;
        }
    }
    fprintf(stderr, "usage: lines monitor|bare|stream|serve|hold ...; see bench/lines.c\n");
    return 2;
}
