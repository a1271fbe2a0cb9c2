/* The viewers of the benchmarks: thousands of WebSockets in one epoll loop, and the publisher.
 *
 * In: commands on standard input, one per line. Out: one line of JSON for each. To affect the measurement little, it
 * parses only the length and number of each frame. It reports its own CPU seconds, which show whether it was the
 * bottleneck (busy near 1). A delivery ends when the kernel has put it into the viewer's socket, by the kernel's time
 * stamp: the time until this program reads it is not the server's.
 *
 *   opening HEADERS GREETING          files: header lines of the next handshakes, and what each socket sends after them
 *   connect HOST PORT FILE N NARROW   N more sockets; FILE has one request path per line, used in turn. Each NARROW-th
 *                                     has a minimal receive buffer, like a remote socket (0 = none)
 *   trigger HOST PORT FILE            where to publish: FILE has templates, see below
 *   run COUNT INFLIGHT SECONDS GAP    publish COUNT times, but not after SECONDS (0 = no limit), with up to INFLIGHT
 *                                     outstanding, at least GAP seconds apart
 *   rate PER_SECOND SECONDS           publish at a fixed rate; latencies are of every delivery
 *   hot PER_SECOND SECONDS TIMES      TIMES bursts at a fixed rate; only the last number must reach every viewer
 *   mark                              start to count counters from any publisher
 *   await N SECONDS                   wait until N counters have arrived since the mark; report the first and last time
 *   stall K                           each K-th socket stops reading (0 = all read again)
 *
 * A template is raw bytes for the publisher's connection (a Redis command, an HTTP request), after a line "BYTES
 * DELIVERIES"; every "@@@@@@@@@@@@@@@@" in it becomes an increasing 16-digit number, which the server must pass on
 * after `"v":`. Templates are used in turn. A publish is complete when its number has arrived DELIVERIES times. An entry
 * with -1 DELIVERIES is no template: it is sent once when the publisher connects.
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
#define RING 65536               /* most outstanding publishes */
#define BINS 2000000             /* histogram bins of 50 us, up to 100 s */
#define BIN 50
#define POLL_INTERVAL 1000000 /* ns between two polls, unless the last one returned MAX_EVENTS */
#define MAX_EVENTS 1024       /* sockets per poll */

typedef struct {
    int fd;
    int open;    /* the handshake is done */
    int stalled; /* does not read */
    int have;    /* bytes of an incomplete frame */
    int frames;  /* numbers of this run that it received */
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
static uint64_t next_seq = BASE, first = BASE; /* the next number, and the first of this run */
static int left[RING];
static double sent_at[RING];
static uint64_t delivered, frames, bytes_in, complete, counters;
static double counter_at, counter_first; /* arrival of the last one, and of the first */
static unsigned bins[BINS];           /* from a publish to each delivery */
static unsigned whole[BINS];          /* from a publish to its last delivery */
static uint64_t only;                 /* the one number whose deliveries count for latency; 0 = all, UINT64_MAX = none */
static char headers[4096], *greeting; /* of the next handshakes */
static long greeting_size;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

/* Wall-clock time of the kernel's stamps minus monotonic time in seconds, measured at each poll. */
static double clock_offset;

static void compare_clocks(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    clock_offset = t.tv_sec + t.tv_nsec / 1e9 - now();
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

static void bin(unsigned *into, double seconds) {
    int n = (int)(seconds * 1e6 / BIN);
    into[n < 0 ? 0 : n >= BINS ? BINS - 1 : n]++;
}

/* Count one frame's payload, if it is a counter with a number of this run. */
static void count_frame(viewer *w, const unsigned char *payload, uint64_t size, double at) {
    const unsigned char *v = memmem(payload, size, "\"v\":", 4);
    frames++;
    if (!v || payload + size - v < 20) return;
    if (!counters++) counter_first = at;
    counter_at = at;
    uint64_t seq = 0;
    for (int i = 4; i < 20; i++) {
        unsigned digit = v[i] - '0';
        if (digit > 9) return;
        seq = seq * 10 + digit;
    }
    if (seq < first || seq >= next_seq || next_seq - seq > RING) return;
    if (w->stalled) return; /* its connection has ended, and this is the unread rest */
    int slot = seq % RING;
    delivered++;
    w->frames++;
    if (!only || seq == only) bin(bins, at - sent_at[slot]);
    if (--left[slot] == 0) {
        complete++;
        bin(whole, at - sent_at[slot]);
    }
}

static void disconnect(viewer *w) {
    epoll_ctl(epfd, EPOLL_CTL_DEL, w->fd, NULL);
    close(w->fd);
    w->fd = -1;
    if (w->open) opened--;
    lost++;
}

static unsigned char buffer[1 << 20];

/* Read the available bytes and the arrival time of the last one (*at is unchanged if the kernel gives none). */
static ssize_t receive(int fd, unsigned char *into, size_t room, double *at) {
    union {
        char bytes[CMSG_SPACE(sizeof(struct timespec))];
        struct cmsghdr align;
    } control;
    struct iovec part = {into, room};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t got = recvmsg(fd, &message, 0);
    struct cmsghdr *header = got > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_TIMESTAMPNS) {
        struct timespec stamp;
        memcpy(&stamp, CMSG_DATA(header), sizeof stamp);
        *at = stamp.tv_sec + stamp.tv_nsec / 1e9 - clock_offset;
    }
    return got;
}

static void readable(viewer *w, double at) {
    memcpy(buffer, w->rest, w->have);
    ssize_t got = receive(w->fd, buffer + w->have, sizeof buffer - w->have, &at);
    if (got <= 0) {
        if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
        disconnect(w);
        return;
    }
    bytes_in += got;
    int size = w->have + got, from = 0;
    if (!w->open) {
        unsigned char *end = memmem(buffer, size, "\r\n\r\n", 4);
        if (end) {
            if (!memmem(buffer, end - buffer, " 101 ", 5)) {
                disconnect(w);
                return;
            }
            w->open = 1;
            opened++;
            from = end - buffer + 4;
            if (greeting_size && write(w->fd, greeting, greeting_size) != greeting_size) {
                disconnect(w);
                return;
            }
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
        if (op == 1 || op == 2) count_frame(w, buffer + from + head, length, at);
        if (op == 9) { /* answer a ping with a pong, masked with zeros */
            unsigned char pong[6 + 125] = {0x8A, 0x80 | length};
            memcpy(pong + 6, buffer + from + head, length);
            if (write(w->fd, pong, 6 + length) < 0 && errno != EAGAIN) {
                disconnect(w);
                return;
            }
        }
        if (op == 8) {
            disconnect(w);
            return;
        }
        from += head + length;
    }
    w->have = size - from;
    w->rest = w->have ? realloc(w->rest, w->have) : (free(w->rest), NULL);
    if (w->have) memcpy(w->rest, buffer + from, w->have);
}

static void poll_sockets(void) {
    static struct epoll_event events[MAX_EVENTS];
    static int n;
    /* A sender pays for waking a process that sleeps on the socket, but real viewers are not on the server's machine.
     * So sleep in a way that no packet interrupts. */
    if (n < MAX_EVENTS) nanosleep(&(struct timespec){.tv_nsec = POLL_INTERVAL}, NULL);
    n = epoll_wait(epfd, events, MAX_EVENTS, 0);
    double at = now();
    compare_clocks();
    for (int i = 0; i < n; i++) {
        uint32_t index = events[i].data.u32;
        if (index == UINT32_MAX) {
            ssize_t got = read(trigger_fd, buffer, sizeof buffer); /* replies to publishes are ignored */
            if (got == 0) {
                errno = ECONNRESET;
                die("the publisher's connection ended");
            }
            if (got > 0 && memmem(buffer, got, "-ERR", 4)) {
                fprintf(stderr, "load: a publish was answered with %.*s\n", (int)(got > 200 ? 200 : got), buffer);
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
    complete += !t->wants; /* no viewers yet */
    next_seq++;
    for (int done = 0; done < t->size;) {
        ssize_t n = write(trigger_fd, copy + done, t->size - done);
        if (n > 0) done += n;
        else if (errno == EAGAIN) poll_sockets();
        else die("publish");
    }
}

static char *read_file(const char *name, long *size) {
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

static void do_opening(const char *head, const char *greet) {
    long size;
    char *text = read_file(head, &size);
    snprintf(headers, sizeof headers, "%s", text);
    free(text);
    free(greeting);
    greeting = read_file(greet, &greeting_size);
    printf("{\"greeting\":%ld}\n", greeting_size);
}

static void do_connect(const char *host, int port, const char *file, int n, int narrow) {
    long size;
    char *text = read_file(file, &size);
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
            if (narrow && count % narrow == 0) {
                /* Packets of Ethernet's size: with loopback's 64 kB, the sender's kernel would buffer 1.6 MB. */
                int packet = 1400;
                setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &one, sizeof one);
                setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &packet, sizeof packet);
            }
            if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) < 0) die("connect");
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof one);
            char request[8192];
            int length = snprintf(request, sizeof request,
                "GET %s HTTP/1.1\r\nHost: %s:%d\r\nConnection: Upgrade\r\nPragma: no-cache\r\nCache-Control: no-cache\r\n"
                "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 "
                "Safari/537.36\r\nUpgrade: websocket\r\nOrigin: https://shop.example\r\nSec-WebSocket-Version: 13\r\n"
                "Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9\r\n"
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n%s\r\n",
                paths[begun % path_count], host, port, headers);
            if (write(fd, request, length) != length) die("request");
            fcntl(fd, F_SETFL, O_NONBLOCK);
            viewers[count] = (viewer){.fd = fd};
            struct epoll_event e = {.events = EPOLLIN, .data.u32 = count};
            epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &e);
            count++;
            begun++;
        }
        int before = opened;
        poll_sockets();
        if (opened > before) last = now();
    }
    printf("{\"open\":%d,\"lost\":%d,\"seconds\":%.4f,\"load_cpu\":%.4f}\n", opened, lost, now() - began, cpu() - used);
}

static void do_trigger(const char *host, int port, const char *file) {
    long size;
    char *text = read_file(file, &size), *p = text, *hello = NULL;
    int hello_size = 0;
    template_count = 0;
    while (p < text + size) {
        int bytes, wants, used;
        if (sscanf(p, "%d %d%n", &bytes, &wants, &used) != 2) break;
        p += used + 1;
        if (wants < 0) {
            hello = p;
            hello_size = bytes;
        } else {
            templates = realloc(templates, (template_count + 1) * sizeof *templates);
            templates[template_count++] = (template){p, bytes, wants};
        }
        p += bytes + 1;
    }
    struct sockaddr_in a = address(host, port);
    if (trigger_fd >= 0) close(trigger_fd);
    int one = 1;
    trigger_fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(trigger_fd, (struct sockaddr *)&a, sizeof a) < 0) die("trigger");
    setsockopt(trigger_fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (hello && write(trigger_fd, hello, hello_size) != hello_size) die("hello");
    fcntl(trigger_fd, F_SETFL, O_NONBLOCK);
    struct epoll_event e = {.events = EPOLLIN, .data.u32 = UINT32_MAX};
    epoll_ctl(epfd, EPOLL_CTL_ADD, trigger_fd, &e);
    printf("{\"templates\":%d}\n", template_count);
}

static double quantile(const unsigned *of, double q) {
    uint64_t all = 0, seen = 0;
    for (int i = 0; i < BINS; i++) all += of[i];
    for (int i = 0; i < BINS; i++)
        if ((seen += of[i]) >= q * all && all) return (i + 1) * BIN / 1e3;
    return 0;
}

static void begin(void) {
    memset(bins, 0, sizeof bins);
    memset(whole, 0, sizeof whole);
    delivered = frames = bytes_in = complete = only = 0;
    first = next_seq;
    for (int i = 0; i < count; i++) viewers[i].frames = 0;
}

static void report(uint64_t published, double took, double used) {
    int most = 0;
    for (int i = 0; i < count; i++)
        if (viewers[i].frames > most) most = viewers[i].frames;
    printf("{\"published\":%llu,\"complete\":%llu,\"delivered\":%llu,\"frames\":%llu,\"bytes\":%llu,\"most\":%d,"
           "\"open\":%d,\"lost\":%d,\"seconds\":%.4f,\"load_cpu\":%.4f,\"p50_ms\":%.2f,\"p99_ms\":%.2f,"
           "\"max_ms\":%.2f,\"whole_p50_ms\":%.2f,\"whole_p99_ms\":%.2f}\n",
        (unsigned long long)published, (unsigned long long)complete, (unsigned long long)delivered,
        (unsigned long long)frames, (unsigned long long)bytes_in, most, opened, lost, took, cpu() - used,
        quantile(bins, 0.5), quantile(bins, 0.99), quantile(bins, 1.0), quantile(whole, 0.5), quantile(whole, 0.99));
}

/* Publish COUNT (or rate x seconds) times and wait for the deliveries, until nothing has arrived for 5 s. */
static void do_run(int publishes, int inflight, double rate, double seconds, double gap) {
    begin();
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
        if (at - last > 5 && (!more || rate == 0)) break; /* the missing ones are lost or were merged */
        poll_sockets();
    }
    report(next_seq - from, now() - began, used);
}

/* Publish bursts whose states may be merged: only the last number of each burst must reach every viewer. */
static void do_hot(double rate, double seconds, int times) {
    begin();
    only = UINT64_MAX; /* none, until the first burst's last number */
    uint64_t from = next_seq;
    double began = now(), used = cpu();
    int reached = 0;
    for (int n = 0; n < times; n++) {
        uint64_t burst = next_seq, size = rate * seconds;
        double start = now();
        while (next_seq - burst < size) {
            if (next_seq - burst < (now() - start) * rate) {
                if (next_seq - burst == size - 1) only = next_seq;
                publish();
            } else {
                poll_sockets();
            }
        }
        for (double last = now(); left[only % RING] > 0 && now() - last < 5;) poll_sockets();
        reached += left[only % RING] <= 0;
        only = UINT64_MAX; /* none, until the next burst's last number */
    }
    complete = reached;
    report(next_seq - from, now() - began, used);
}

static void do_await(uint64_t wanted, double seconds) {
    for (double began = now(); counters < wanted && now() - began < seconds;) poll_sockets();
    printf("{\"counters\":%llu,\"first\":%.6f,\"last\":%.6f}\n", (unsigned long long)counters, counter_first, counter_at);
}

static void do_stall(int every) {
    int stalled = 0;
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
    printf("{\"stalled\":%d,\"open\":%d}\n", stalled, opened);
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
            poll_sockets(); /* answer pings between two commands */
            continue;
        }
        *end = 0;
        char word[32], host[64], file[4096], other[4096];
        int port, n, k;
        double x, y;
        if (sscanf(line, "connect %63s %d %4095s %d %d", host, &port, file, &n, &k) == 5) do_connect(host, port, file, n, k);
        else if (sscanf(line, "opening %4095s %4095s", file, other) == 2) do_opening(file, other);
        else if (sscanf(line, "trigger %63s %d %4095s", host, &port, file) == 3) do_trigger(host, port, file);
        else if (sscanf(line, "run %d %d %lf %lf", &port, &n, &x, &y) == 4) do_run(port, n, 0, x, y);
        else if (sscanf(line, "rate %lf %lf", &x, &y) == 2) do_run(0, 0, x, y, 0);
        else if (sscanf(line, "hot %lf %lf %d", &x, &y, &n) == 3) do_hot(x, y, n);
        else if (sscanf(line, "stall %d", &n) == 1) do_stall(n);
        else if (sscanf(line, "await %d %lf", &n, &x) == 2) do_await(n, x);
        else if (sscanf(line, "%31s", word) == 1 && !strcmp(word, "mark")) {
            counters = 0;
            printf("{\"at\":%.6f}\n", now());
        } else printf("{\"error\":\"no such command\"}\n");
        have -= end + 1 - line;
        memmove(line, end + 1, have);
    }
}
