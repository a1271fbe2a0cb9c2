/* Posts webhooks: keep-alive connections in one epoll loop, each with one request in flight.
 *
 *   post PORT FILE CONNECTIONS COUNT RATE
 *
 * FILE has one body per line (a JWT has no line break); they are posted in turn. With RATE 0 each connection posts
 * again as soon as it is answered. Otherwise RATE posts per second are due at even intervals, an idle connection sends
 * the next one, and its latency counts from the time it was due, so that queueing shows. Out: one line of JSON, with
 * the CPU seconds of this program: if they are near the seconds it ran, it was the bottleneck.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PATH "/webhooks/wix"

typedef struct {
    int fd, have; /* have: bytes of an incomplete response */
    double due;
    char in[4096];
} poster;

typedef struct {
    char *bytes;
    int size;
} request;

static request *requests;
static int request_count;
static poster *posters;
static poster **idle; /* a ring, longest idle first: a server closes connections that are idle for long */
static int connections, epfd;
static double *latencies;
static long started, answered, good;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void die(const char *what) {
    fprintf(stderr, "post: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void load(const char *name) {
    FILE *file = fopen(name, "r");
    if (!file) die(name);
    char *line = NULL;
    size_t room = 0;
    ssize_t size;
    while ((size = getline(&line, &room, file)) > 1) {
        line[--size] = 0;
        requests = realloc(requests, (request_count + 1) * sizeof *requests);
        request *one = &requests[request_count++];
        one->size = asprintf(&one->bytes,
                             "POST " PATH " HTTP/1.1\r\nhost: example.com\r\nuser-agent: post\r\naccept: */*\r\n"
                             "accept-encoding: gzip\r\ncontent-type: text/plain; charset=utf-8\r\n"
                             "content-length: %zd\r\n\r\n%s",
                             size, line);
    }
    free(line);
    fclose(file);
    if (!request_count) die("no bodies");
}

static void connect_poster(poster *one, int port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    one->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (one->fd < 0 || connect(one->fd, (struct sockaddr *)&to, sizeof to)) die("connect");
    setsockopt(one->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    fcntl(one->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = one};
    if (epoll_ctl(epfd, EPOLL_CTL_ADD, one->fd, &event)) die("epoll_ctl");
}

static int idling(void) { return connections - (started - answered); }

static void post(double due) {
    poster *one = idle[started % connections];
    request *what = &requests[started++ % request_count];
    one->due = due;
    /* A body of some kilobytes fits into an empty socket buffer, and nothing else is in flight on this connection. */
    if (send(one->fd, what->bytes, what->size, MSG_NOSIGNAL) != what->size) die("send");
}

/* Whether the response is complete. Responses to webhooks have no body: they end with the head. */
static int complete(poster *one) {
    ssize_t got = recv(one->fd, one->in + one->have, sizeof one->in - 1 - one->have, 0);
    if (got < 0 && errno == EAGAIN) return 0;
    if (got <= 0) die("the server closed");
    one->have += got;
    one->in[one->have] = 0;
    char *end = strstr(one->in, "\r\n\r\n");
    if (!end) return 0;
    if (!strcasestr(one->in, "content-length: 0\r\n")) die("an answer with a body");
    good += !strncmp(one->in, "HTTP/1.1 200", 12);
    one->have = 0;
    return 1;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    if (argc != 6) {
        fprintf(stderr, "post PORT FILE CONNECTIONS COUNT RATE\n");
        return 2;
    }
    connections = atoi(argv[3]);
    long count = atol(argv[4]);
    double rate = atof(argv[5]);
    load(argv[2]);
    epfd = epoll_create1(0);
    posters = calloc(connections, sizeof *posters);
    idle = calloc(connections, sizeof *idle);
    latencies = calloc(count, sizeof *latencies);
    for (int n = 0; n < connections; n++) {
        connect_poster(&posters[n], atoi(argv[1]));
        idle[n] = &posters[n];
    }
    double began = now();
    struct epoll_event events[256];
    while (answered < count) {
        double at = now(), due = at;
        while (idling() && started < count && (due = rate ? began + started / rate : at) <= at) post(due);
        struct timespec wait = {10, 0};
        if (rate && idling() && started < count) {
            double left = due - now();
            wait.tv_sec = 0;
            wait.tv_nsec = left > 0 ? left * 1e9 : 0;
        }
        int ready = epoll_pwait2(epfd, events, 256, &wait, NULL);
        if (ready < 0 && errno != EINTR) die("epoll_wait");
        if (!ready && wait.tv_sec) die("no answer within 10 s");
        for (int n = 0; n < ready; n++) {
            poster *one = events[n].data.ptr;
            if (!complete(one)) continue;
            idle[answered % connections] = one;
            latencies[answered++] = now() - one->due;
        }
    }
    double seconds = now() - began;
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    double cpu = used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    qsort(latencies, count, sizeof *latencies, ascending);
    printf("{\"answered\": %ld, \"good\": %ld, \"seconds\": %.4f, \"cpu\": %.4f, \"p50_ms\": %.3f, \"p99_ms\": %.3f}\n",
           answered, good, seconds, cpu, latencies[count / 2] * 1e3, latencies[count * 99 / 100] * 1e3);
    return 0;
}
