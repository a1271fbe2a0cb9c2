/* The viewers of the benchmarks: thousands of WebSockets in one epoll loop, and whoever publishes to them.
 *
 * In: commands on standard input, one a line. Out: one line of JSON for each. It takes no part in what is measured
 * but to receive: it parses nothing of a frame but its length and its number, and reports its own CPU seconds, so that
 * a run in which it was the bottleneck can be told (busy near 1).
 *
 *   connect HOST PORT FILE N          N more sockets; FILE holds one request path a line, taken in turn
 *   trigger HOST PORT FILE            what publishes: FILE holds templates, see below
 *   run COUNT INFLIGHT SECONDS GAP    publish COUNT times (or for SECONDS), with so many outstanding, and GAP seconds
 *                                     at least between two
 *   rate PER_SECOND SECONDS           publish at a fixed rate; latencies are of every delivery
 *   stall SHARE                       this share of the sockets stops reading (0 = all read again)
 *   quit
 *
 * A template is raw bytes for the trigger's connection (a Redis command, an HTTP request), a length line before each;
 * every "@@@@@@@@@@@@@@@@" in it becomes a 16-digit number that rises, which the server must pass on after `"v":`.
 * Templates are taken in turn. A publish is delivered when as many sockets have shown its number as its template's
 * length line says: "BYTES DELIVERIES".
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

#define BASE 1000000000000000ULL /* the first number: 16 digits, and below 2^53 */
#define RING 65536               /* publishes that may be outstanding */
#define BINS 200000              /* latencies in bins of 50 us, up to 10 s */
#define BIN 50

typedef struct {
    int fd;
    int open;    /* the handshake is done */
    int stalled; /* does not read */
    int have;    /* bytes of an incomplete frame */
    unsigned char *rest;
} viewer;

typedef struct {
    char *bytes;
    int size, wants;
} template;

static viewer *viewers;
static int count, capacity, opened, lost, epfd, trigger_fd = -1;
static char **paths;
static int path_count;
static template *templates;
static int template_count;
static uint64_t next_seq = BASE;
static int left[RING];
static double sent_at[RING];
static uint64_t delivered, frames, bytes_in, complete;
static unsigned bins[BINS];
static int measuring;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static double cpu(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void die(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static struct sockaddr_in address(const char *host, int port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (inet_pton(AF_INET, host, &a.sin_addr) != 1) die(host);
    return a;
}

/* One frame's payload: is it a counter with a number of ours? */
static void count_frame(const unsigned char *payload, uint64_t size, double at) {
    const unsigned char *v = memmem(payload, size, "\"v\":", 4);
    frames++;
    if (!v || payload + size - v < 20) return;
    uint64_t seq = 0;
    for (int i = 4; i < 20; i++) {
        unsigned digit = v[i] - '0';
        if (digit > 9) return;
        seq = seq * 10 + digit;
    }
    if (seq < BASE || seq >= next_seq || next_seq - seq > RING) return;
    int slot = seq % RING;
    delivered++;
    if (measuring) {
        int bin = (int)((at - sent_at[slot]) * 1e6 / BIN);
        bins[bin < 0 ? 0 : bin >= BINS ? BINS - 1 : bin]++;
    }
    if (--left[slot] == 0) complete++;
}

static void gone(viewer *w) {
    epoll_ctl(epfd, EPOLL_CTL_DEL, w->fd, NULL);
    close(w->fd);
    w->fd = -1;
    if (w->open) opened--;
    lost++;
}

static unsigned char buffer[1 << 20];

static void readable(viewer *w, double at) {
    memcpy(buffer, w->rest, w->have);
    ssize_t got = read(w->fd, buffer + w->have, sizeof buffer - w->have);
    if (got <= 0) {
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
        gone(w);
        return;
    }
    bytes_in += got;
    int size = w->have + got, from = 0;
    if (!w->open) {
        unsigned char *end = memmem(buffer, size, "\r\n\r\n", 4);
        if (end) {
            if (!memmem(buffer, end - buffer, " 101 ", 5)) {
                gone(w);
                return;
            }
            w->open = 1;
            opened++;
            from = end - buffer + 4;
        }
    }
    while (w->open && size - from >= 2) {
        uint64_t length = buffer[from + 1] & 127;
        int head = 2;
        if (length == 126) head = 4;
        if (length == 127) head = 10;
        if (size - from < head) break;
        if (head > 2) {
            length = 0;
            for (int i = 2; i < head; i++) length = length << 8 | buffer[from + i];
        }
        if ((uint64_t)(size - from - head) < length) break;
        int op = buffer[from] & 15;
        if (op == 1 || op == 2) count_frame(buffer + from + head, length, at);
        if (op == 9) { /* a ping wants its pong, masked with zeros */
            unsigned char pong[6 + 125] = {0x8A, 0x80 | length};
            memcpy(pong + 6, buffer + from + head, length);
            if (write(w->fd, pong, 6 + length) < 0 && errno != EAGAIN) {
                gone(w);
                return;
            }
        }
        if (op == 8) {
            gone(w);
            return;
        }
        from += head + length;
    }
    w->have = size - from;
    w->rest = w->have ? realloc(w->rest, w->have) : (free(w->rest), NULL);
    if (w->have) memcpy(w->rest, buffer + from, w->have);
}

static void turn(int ms) {
    static struct epoll_event events[1024];
    int n = epoll_wait(epfd, events, 1024, ms);
    double at = now();
    for (int i = 0; i < n; i++) {
        uint32_t index = events[i].data.u32;
        if (index == UINT32_MAX) {
            ssize_t got = read(trigger_fd, buffer, sizeof buffer); /* replies to publishes say nothing new */
            if (got == 0) {
                errno = ECONNRESET;
                die("the trigger's connection ended");
            }
            if (got > 0 && memmem(buffer, got, "-ERR", 4)) {
                fprintf(stderr, "load: the trigger answered %.*s\n", (int)(got > 200 ? 200 : got), buffer);
                exit(1);
            }
        } else if (viewers[index].fd >= 0) {
            readable(&viewers[index], at);
        }
    }
}

static void publish(void) {
    template *t = &templates[(next_seq - BASE) % template_count];
    char digits[17], copy[65536];
    snprintf(digits, sizeof digits, "%016llu", (unsigned long long)next_seq);
    memcpy(copy, t->bytes, t->size);
    for (char *p = copy; (p = memmem(p, copy + t->size - p, "@@@@@@@@@@@@@@@@", 16)); p += 16) memcpy(p, digits, 16);
    left[next_seq % RING] = t->wants;
    sent_at[next_seq % RING] = now();
    next_seq++;
    for (int done = 0; done < t->size;) {
        ssize_t n = write(trigger_fd, copy + done, t->size - done);
        if (n > 0) done += n;
        else if (errno == EAGAIN) turn(1);
        else die("publish");
    }
}

static char *slurp(const char *name, long *size) {
    FILE *f = fopen(name, "rb");
    if (!f) die(name);
    fseek(f, 0, SEEK_END);
    *size = ftell(f);
    rewind(f);
    char *text = malloc(*size + 1);
    if (fread(text, 1, *size, f) != (size_t)*size) die(name);
    text[*size] = 0;
    fclose(f);
    return text;
}

static void do_connect(const char *host, int port, const char *file, int n) {
    long size;
    char *text = slurp(file, &size);
    path_count = 0;
    paths = NULL;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        paths = realloc(paths, (path_count + 1) * sizeof *paths);
        paths[path_count++] = line;
    }
    struct sockaddr_in a = address(host, port);
    double began = now(), used = cpu(), last = began;
    int want = opened + n, begun = 0, was_lost = lost, was = opened;
    while (opened < want && lost == was_lost && now() - last < 20) {
        while (begun < n && begun - (opened - was) < 256) {
            if (count == capacity) {
                capacity = capacity ? capacity * 2 : 1024;
                viewers = realloc(viewers, capacity * sizeof *viewers);
            }
            int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
            if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) < 0) die("connect");
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            char request[8192];
            int length = snprintf(request, sizeof request,
                "GET %s HTTP/1.1\r\nHost: %s:%d\r\nConnection: Upgrade\r\nPragma: no-cache\r\nCache-Control: no-cache\r\n"
                "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 "
                "Safari/537.36\r\nUpgrade: websocket\r\nOrigin: https://shop.example\r\nSec-WebSocket-Version: 13\r\n"
                "Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9\r\n"
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n",
                paths[begun % path_count], host, port);
            if (write(fd, request, length) != length) die("request");
            fcntl(fd, F_SETFL, O_NONBLOCK);
            viewers[count] = (viewer){.fd = fd};
            struct epoll_event e = {.events = EPOLLIN, .data.u32 = count};
            epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &e);
            count++;
            begun++;
        }
        int before = opened;
        turn(20);
        if (opened > before) last = now();
    }
    printf("{\"open\":%d,\"lost\":%d,\"seconds\":%.4f,\"load_cpu\":%.4f}\n", opened, lost, now() - began, cpu() - used);
}

static void do_trigger(const char *host, int port, const char *file) {
    long size;
    char *text = slurp(file, &size), *p = text;
    template_count = 0;
    while (p < text + size) {
        int bytes, wants, used;
        if (sscanf(p, "%d %d%n", &bytes, &wants, &used) != 2) break;
        p += used + 1;
        templates = realloc(templates, (template_count + 1) * sizeof *templates);
        templates[template_count++] = (template){p, bytes, wants};
        p += bytes + 1;
    }
    struct sockaddr_in a = address(host, port);
    if (trigger_fd >= 0) close(trigger_fd);
    int one = 1;
    trigger_fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(trigger_fd, (struct sockaddr *)&a, sizeof a) < 0) die("trigger");
    setsockopt(trigger_fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(trigger_fd, F_SETFL, O_NONBLOCK);
    struct epoll_event e = {.events = EPOLLIN, .data.u32 = UINT32_MAX};
    epoll_ctl(epfd, EPOLL_CTL_ADD, trigger_fd, &e);
    printf("{\"templates\":%d}\n", template_count);
}

static double quantile(double q) {
    uint64_t all = 0, seen = 0;
    for (int i = 0; i < BINS; i++) all += bins[i];
    for (int i = 0; i < BINS; i++)
        if ((seen += bins[i]) >= q * all && all) return (i + 1) * BIN / 1e3;
    return 0;
}

/* Publish COUNT (or rate x seconds) and wait for what is due; sockets that stall are not waited for. */
static void do_run(int publishes, int inflight, double rate, double seconds, double gap) {
    memset(bins, 0, sizeof bins);
    delivered = frames = bytes_in = complete = 0;
    measuring = 1;
    uint64_t from = next_seq;
    double began = now(), used = cpu(), last = began;
    uint64_t before = 0;
    double latest = 0;
    for (;;) {
        double at = now();
        uint64_t out = next_seq - from;
        int more = (publishes == 0 || out < (uint64_t)publishes) && (seconds == 0 || at - began < seconds);
        int may = rate > 0 ? out < (at - began) * rate : out - complete < (uint64_t)inflight && at - latest >= gap;
        if (more && may) {
            latest = at;
            publish();
            continue;
        }
        if (!more && complete == out) break;
        if (delivered > before) {
            before = delivered;
            last = at;
        }
        if (at - last > 5 && (!more || rate == 0)) break; /* what has not come by now is lost, or was merged away */
        turn((rate > 0 || gap > 0) && more ? 1 : 20);
    }
    double took = now() - began;
    printf("{\"published\":%llu,\"complete\":%llu,\"delivered\":%llu,\"frames\":%llu,\"bytes\":%llu,\"open\":%d,"
           "\"lost\":%d,\"seconds\":%.4f,\"load_cpu\":%.4f,\"p50_ms\":%.2f,\"p99_ms\":%.2f,\"max_ms\":%.2f}\n",
        (unsigned long long)(next_seq - from), (unsigned long long)complete, (unsigned long long)delivered,
        (unsigned long long)frames, (unsigned long long)bytes_in, opened, lost, took, cpu() - used, quantile(0.5),
        quantile(0.99), quantile(1.0));
}

static void do_stall(double share) {
    int every = share > 0 ? (int)(1 / share) : 0, stalled = 0;
    for (int i = 0; i < count; i++) {
        if (viewers[i].fd < 0) continue;
        int stop = every && i % every == 0;
        if (stop != viewers[i].stalled) {
            struct epoll_event e = {.events = stop ? 0 : EPOLLIN, .data.u32 = i};
            epoll_ctl(epfd, EPOLL_CTL_MOD, viewers[i].fd, &e);
            viewers[i].stalled = stop;
        }
        stalled += stop;
    }
    printf("{\"stalled\":%d}\n", stalled);
}

int main(void) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    epfd = epoll_create1(0);
    setvbuf(stdout, NULL, _IOLBF, 0);
    fcntl(0, F_SETFL, O_NONBLOCK);
    static char line[65536];
    size_t have = 0;
    for (;;) {
        ssize_t got = read(0, line + have, sizeof line - have - 1);
        if (got == 0) return 0;
        if (got > 0) have += got;
        char *end;
        line[have] = 0;
        if (!(end = strchr(line, '\n'))) {
            turn(5); /* beats and pings between two commands */
            continue;
        }
        *end = 0;
        char word[32], host[64], file[4096];
        int port, n;
        double x, y;
        if (sscanf(line, "connect %63s %d %4095s %d", host, &port, file, &n) == 4) do_connect(host, port, file, n);
        else if (sscanf(line, "trigger %63s %d %4095s", host, &port, file) == 3) do_trigger(host, port, file);
        else if (sscanf(line, "run %d %d %lf %lf", &port, &n, &x, &y) == 4) do_run(port, n, 0, x, y);
        else if (sscanf(line, "rate %lf %lf", &x, &y) == 2) do_run(0, 0, x, y, 0);
        else if (sscanf(line, "stall %lf", &x) == 1) do_stall(x);
        else if (sscanf(line, "%31s", word) == 1 && !strcmp(word, "quit")) return 0;
        else printf("{\"error\":\"no such command\"}\n");
        have -= end + 1 - line;
        memmove(line, end + 1, have);
    }
}
