/* Starts a migration tool inside the user's own image, for the runner in the container beside it.
 *
 *   whimbrel-launcher serve SOCKET     connect to the runner and do what it says
 *   whimbrel-launcher copy SRC DST     copy a tree of files (the image may have neither sh nor cp)
 *
 * A frame is one byte of type, four bytes of length (big-endian) and the payload.
 *   to the runner    H version pid | O output | E stage errno | X kind value | G
 *                    F kind seconds nanoseconds path | D content | Z problem
 *   from the runner  R argc envc cwd\0 argv\0... env\0... | S number | L wanted\0... | B
 * H hello; O what the tool wrote; E it could not be started; X its end (kind 0: exit code, 1: signal);
 * G gone: no process of it is left; R run; S send a signal to its group; B bye.
 * L look, while no tool runs: each word is `t` and a folder to read whole, `n` and a folder to list, `f`
 * and a file, or `x` and a name that is passed over. F is what was found, with the time of its last
 * change: f file, l link, d folder, n name, m nothing there; D what a file holds, or where a link leads; Z
 * the end, with the reason where not all could be read. No digest is made here: the runner makes it.
 *
 * Promise: when the runner's end of the socket closes, every process that came from the tool is
 * killed at once, also one that ignores SIGTERM or has left the group and the session.
 * Nothing of the tool's output is printed here: it may hold a password, and only the runner redacts. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { VERSION = 2, HEADER = 5, CHUNK = 32768, REQUEST_LIMIT = 1 << 20, GRACE_MS = 5000 };
enum { CONNECT_TRIES = 6000, DEPTH_LIMIT = 32, COPY_LIMIT = 64 << 20 };
enum { LOOK_LIMIT = 64 << 20, LOOK_ENTRIES = 20000, LOOK_MS = 10000, PATH_LIMIT = 4096 };
enum { EXIT_RUNNER_LOST = 3, EXIT_TERMINATED = 143 };

static int runner = -1, signals = -1, output = -1;
static pid_t tool;               /* 0: none runs */
static int draining;             /* the tool ended, its last output is still on its way */
static long long deadline;       /* ms; 0: none; set by SIGTERM */
static unsigned char in[HEADER + REQUEST_LIMIT], out[HEADER + CHUNK + 128];
static size_t in_length, out_start, out_end;

static char problem[1024];

static int wrong(const char *path, const char *what) {
    snprintf(problem, sizeof problem, "%s: %s", path, what);
    return 0;
}

static void die(const char *what) {
    fprintf(stderr, "whimbrel-launcher: %s: %s\n", what, strerror(errno));
    exit(1);
}

static long long now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static uint32_t get32(const unsigned char *p) {
    return (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
}

static void put32(unsigned char *p, uint32_t value) {
    p[0] = value >> 24, p[1] = value >> 16, p[2] = value >> 8, p[3] = value;
}

static void put_header(unsigned char *at, char type, size_t length) {
    at[0] = type;
    put32(at + 1, length);
}

/* ---- processes ------------------------------------------------------------------------------ */

static pid_t parent_of(const char *pid) {
    char path[64], text[512], *end;
    snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return -1;
    ssize_t n = read(file, text, sizeof text - 1);
    close(file);
    text[n > 0 ? n : 0] = 0;
    /* "12 (any name, even one with brackets) S 1 ..." */
    return (end = strrchr(text, ')')) && strlen(end) > 4 ? atoi(end + 4) : -1;
}

static void kill_children(void) {
    DIR *processes = opendir("/proc");
    struct dirent *entry;
    if (!processes) die("/proc");
    while ((entry = readdir(processes)))
        if (entry->d_name[0] > '0' && entry->d_name[0] <= '9' && parent_of(entry->d_name) == getpid())
            kill(atoi(entry->d_name), SIGKILL);
    closedir(processes);
}

/* As a subreaper we inherit every orphan, so "no child is left" means "no descendant is left". */
static void kill_all(void) {
    if (tool) kill(-tool, SIGKILL);
    for (;;) {
        pid_t ended = waitpid(-1, NULL, WNOHANG);
        if (ended > 0) continue;
        if (ended < 0 && errno == ECHILD) break;
        kill_children();
        poll(NULL, 0, 5);
    }
    tool = 0;
}

static void leave(int code) {
    kill_all();
    exit(code);
}

/* ---- frames to the runner ------------------------------------------------------------------- */

static void flush_out(void) {
    while (out_start < out_end) {
        ssize_t n = send(runner, out + out_start, out_end - out_start, MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
        if (n < 0) leave(EXIT_RUNNER_LOST);
        out_start += n;
    }
    out_start = out_end = 0;
}

/* Small frames always fit: output leaves 128 bytes free and is read only when all was sent. */
static void say(char type, int count, uint32_t first, uint32_t second) {
    put_header(out + out_end, type, 4 * count);
    if (count > 0) put32(out + out_end + HEADER, first);
    if (count > 1) put32(out + out_end + HEADER + 4, second);
    out_end += HEADER + 4 * count;
    flush_out();
}

static void finish(void) {
    close(output);
    output = -1;
    draining = 0;
    say('G', 0, 0, 0);
}

static void forward_output(void) {
    ssize_t n = read(output, out + HEADER, CHUNK);
    if (n < 0 && errno == EINTR) return;
    if (n > 0) {
        put_header(out, 'O', n);
        out_end = HEADER + n;
        flush_out();
    } else if (draining) {
        finish(); /* end of file, or EAGAIN: whoever still held the pipe is dead */
    } else if (n == 0) {
        close(output); /* the tool closed its output and goes on */
        output = -1;
    }
}

/* ---- the tool ------------------------------------------------------------------------------- */

static void tool_ended(int status) {
    if (WIFSIGNALED(status)) say('X', 2, 1, WTERMSIG(status));
    else say('X', 2, 0, WEXITSTATUS(status));
    tool = 0;
    kill_all();
    draining = 1;
    if (output < 0) finish();
}

static void reap(void) {
    int status;
    pid_t ended;
    while ((ended = waitpid(-1, &status, WNOHANG)) > 0)
        if (tool && ended == tool) {
            tool_ended(status);
            return;
        }
}

static _Noreturn void become(char *cwd, char **argv, char **env, int report) {
    sigset_t none;
    int failure[2] = {'d', 0};
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!*cwd || chdir(cwd) == 0) {
        failure[0] = 'x';
        for (; *env; env++) putenv(*env);
        execvp(argv[0], argv);
    }
    failure[1] = errno;
    if (write(report, failure, sizeof failure) < 0) _exit(126);
    _exit(127);
}

static void start(char *cwd, char **argv, char **env) {
    int pipe_out[2], report[2], failure[2], null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (pipe2(pipe_out, O_CLOEXEC) || pipe2(report, O_CLOEXEC)) die("pipe");
    tool = fork();
    if (tool < 0) die("fork");
    if (tool == 0) {
        if (null >= 0) dup2(null, 0);
        dup2(pipe_out[1], 1);
        dup2(pipe_out[1], 2);
        become(cwd, argv, env, report[1]);
    }
    setpgid(tool, tool);
    close(pipe_out[1]), close(report[1]);
    if (null >= 0) close(null);
    output = pipe_out[0];
    fcntl(output, F_SETFL, O_NONBLOCK);
    ssize_t n = read(report[0], failure, sizeof failure); /* ends when exec closes the other end */
    close(report[0]);
    if (n == (ssize_t)sizeof failure) {
        kill_all();
        say('E', 2, failure[0], failure[1]);
        finish();
    }
}

static char **take(char **at, char *end, uint32_t count) {
    char **list = calloc((size_t)count + 1, sizeof *list);
    if (!list) die("memory");
    for (uint32_t i = 0; i < count; i++) {
        if (*at >= end) die("a request that is cut off");
        list[i] = *at;
        *at += strlen(*at) + 1;
    }
    return list;
}

static void run(unsigned char *body, size_t length) {
    if (tool || draining || length < 10 || body[length - 1]) die("a wrong request");
    if (get32(body) > length || get32(body + 4) > length || !get32(body)) die("a wrong request");
    char *at = (char *)body + 8, *end = (char *)body + length;
    char **cwd = take(&at, end, 1), **argv = take(&at, end, get32(body));
    char **env = take(&at, end, get32(body + 4));
    start(cwd[0], argv, env);
    free(cwd), free(argv), free(env);
}

/* ---- look ----------------------------------------------------------------------------------- */

static char *wanted, *wanted_end;
static size_t entries, looked;
static long long look_until;

static void read_signals(void);

/* Send all of `out`, however slowly the runner reads: nothing else goes on meanwhile. */
static void deliver(void) {
    for (flush_out(); out_end; flush_out()) {
        struct pollfd fds[] = {{runner, POLLOUT, 0}, {signals, POLLIN, 0}};
        if (poll(fds, 2, -1) < 0 && errno != EINTR) die("poll");
        if (fds[1].revents) read_signals();
    }
}

static int is_late(const char *path) {
    return now_ms() > look_until && !wrong(path, "reading takes more than 10 s");
}

static int tell(char kind, const struct stat *found, const char *path) {
    size_t length = strlen(path);
    if (++entries > LOOK_ENTRIES) return wrong(path, "more than 20,000 files");
    if (is_late(path)) return 0;
    if (length >= PATH_LIMIT) return wrong("a path", "too long");
    put_header(out, 'F', 9 + length);
    out[HEADER] = kind;
    put32(out + HEADER + 1, found ? found->st_ctim.tv_sec : 0);
    put32(out + HEADER + 5, found ? found->st_ctim.tv_nsec : 0);
    memcpy(out + HEADER + 9, path, length);
    out_end = HEADER + 9 + length;
    deliver();
    return 1;
}

static void tell_content(size_t length) {
    put_header(out, 'D', length);
    out_end = HEADER + length;
    deliver();
}

static int look_file(const char *path) {
    struct stat found;
    ssize_t n = 0;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); /* a pipe must not hang */
    if (file < 0) return errno == ENOENT || errno == ENOTDIR ? tell('m', NULL, path) : wrong(path, strerror(errno));
    int good = fstat(file, &found) ? wrong(path, strerror(errno)) : 1;
    if (good && !S_ISREG(found.st_mode)) good = wrong(path, "not a file");
    good = good && tell('f', &found, path);
    while (good && !is_late(path) && (n = read(file, out + HEADER, CHUNK)) > 0) {
        if ((looked += n) > LOOK_LIMIT) good = wrong(path, "more than 64 MiB");
        else tell_content(n);
    }
    close(file);
    return n < 0 ? wrong(path, strerror(errno)) : good && !*problem;
}

static int is_left_out(const char *name) {
    if (!strcmp(name, ".") || !strcmp(name, "..")) return 1;
    for (char *at = wanted; at < wanted_end; at += strlen(at) + 1)
        if (*at == 'x' && !strcmp(at + 1, name)) return 1;
    return 0;
}

static const char *venv_mark(const char *folder) {
    static char mark[PATH_LIMIT];
    int length = snprintf(mark, sizeof mark, "%s/pyvenv.cfg", folder);
    return length < (int)sizeof mark && access(mark, F_OK) == 0 ? mark : NULL;
}

/* A link is as good as what it leads to, if that is read too: below the same root, not passed over. */
static int look_link(const char *path, const char *root, const struct stat *found) {
    static char target[PATH_LIMIT];
    size_t length = strcmp(root, "/") ? strlen(root) : 0;
    if (!realpath(path, target)) return wrong(path, "a link that leads nowhere");
    if (strncmp(target, root, length) || (target[length] && target[length] != '/'))
        return wrong(path, "a link that leads out of the folder");
    for (char *at = target + length; *at;) {
        char *end = at + 1 + strcspn(at + 1, "/"), kept = *end;
        *end = 0;
        if (is_left_out(at + 1) || venv_mark(target)) return wrong(path, "a link to what is passed over");
        *end = kept, at = end;
    }
    if (!tell('l', found, path)) return 0;
    length = strlen(target);
    memcpy(out + HEADER, target, length);
    tell_content(length);
    return 1;
}

static int look_tree(const char *folder, const char *root, int depth) {
    char path[PATH_LIMIT];
    const char *mark;
    struct dirent *entry;
    struct stat found;
    DIR *directory = opendir(folder);
    if (!directory) return wrong(folder, strerror(errno));
    int good = fstat(dirfd(directory), &found) ? wrong(folder, strerror(errno)) : tell('d', &found, folder);
    if (depth > DEPTH_LIMIT) good = wrong(folder, "nested too deeply");
    while (good && (errno = 0, entry = readdir(directory))) {
        if (is_left_out(entry->d_name)) continue;
        int length = snprintf(path, sizeof path, "%s/%s", strcmp(folder, "/") ? folder : "", entry->d_name);
        if (length >= (int)sizeof path) good = wrong(folder, "a path too long");
        else if (lstat(path, &found)) good = wrong(path, strerror(errno));
        else if (S_ISLNK(found.st_mode)) good = look_link(path, root, &found);
        else if (S_ISREG(found.st_mode)) good = look_file(path);
        else if (S_ISDIR(found.st_mode)) /* of an environment for Python only what it is made from */
            good = (mark = venv_mark(path)) ? look_file(mark) : look_tree(path, root, depth + 1);
    }
    if (good && errno) good = wrong(folder, strerror(errno));
    closedir(directory);
    return good;
}

static int look_names(const char *folder) {
    char path[PATH_LIMIT];
    struct dirent *entry;
    struct stat found;
    DIR *directory = opendir(folder);
    if (!directory) return errno == ENOENT || errno == ENOTDIR ? tell('m', NULL, folder) : wrong(folder, strerror(errno));
    int good = fstat(dirfd(directory), &found) ? wrong(folder, strerror(errno)) : tell('d', &found, folder);
    while (good && (errno = 0, entry = readdir(directory))) {
        if (is_left_out(entry->d_name)) continue;
        int length = snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        good = length < (int)sizeof path ? tell('n', NULL, path) : wrong(folder, "a path too long");
    }
    if (good && errno) good = wrong(folder, strerror(errno));
    closedir(directory);
    return good;
}

static int look_at(const char *word) {
    char root[PATH_LIMIT];
    switch (*word) {
    case 'f': return look_file(word + 1);
    case 'n': return look_names(word + 1);
    case 't': return realpath(word + 1, root) ? look_tree(root, root, 0) : wrong(word + 1, strerror(errno));
    default: return 1;
    }
}

static void look(unsigned char *body, size_t length) {
    if (tool || draining || !length || body[length - 1]) die("a wrong request");
    wanted = (char *)body, wanted_end = wanted + length;
    entries = looked = 0, problem[0] = 0;
    look_until = now_ms() + LOOK_MS;
    deliver();
    for (char *at = wanted; at < wanted_end && look_at(at); at += strlen(at) + 1) {}
    length = strlen(problem);
    put_header(out, 'Z', length);
    memcpy(out + HEADER, problem, length);
    out_end = HEADER + length;
    deliver();
}

static void obey(char type, unsigned char *body, size_t length) {
    if (type == 'R') run(body, length);
    else if (type == 'L') look(body, length);
    else if (type == 'S' && length == 4) { if (tool) kill(-tool, get32(body)); }
    else if (type == 'B') leave(0);
    else die("an unknown frame");
}

static void read_requests(void) {
    ssize_t n = recv(runner, in + in_length, sizeof in - in_length, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) leave(EXIT_RUNNER_LOST);
    in_length += n;
    while (in_length >= HEADER) {
        size_t length = get32(in + 1);
        if (length > REQUEST_LIMIT) leave(EXIT_RUNNER_LOST);
        if (in_length < HEADER + length) return;
        obey(in[0], in + HEADER, length);
        in_length -= HEADER + length;
        memmove(in, in + HEADER + length, in_length);
    }
}

static void read_signals(void) {
    struct signalfd_siginfo info;
    while (read(signals, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGCHLD) continue;
        if (!tool && !draining) leave(EXIT_TERMINATED);
        if (tool) kill(-tool, info.ssi_signo);
        if (!deadline) deadline = now_ms() + GRACE_MS;
    }
    reap(); /* several SIGCHLD may have become one */
}

/* ---- serve ---------------------------------------------------------------------------------- */

static void connect_runner(const char *path, const sigset_t *stop) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timespec pause = {.tv_nsec = 100000000};
    if (strlen(path) >= sizeof address.sun_path) errno = ENAMETOOLONG, die(path);
    strcpy(address.sun_path, path);
    for (int i = 0; i < CONNECT_TRIES; i++) { /* the runner's image may still be on its way */
        if ((runner = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) < 0) die("socket");
        if (connect(runner, (struct sockaddr *)&address, sizeof address) == 0) {
            fcntl(runner, F_SETFL, O_NONBLOCK);
            return;
        }
        close(runner);
        if (sigtimedwait(stop, NULL, &pause) > 0) exit(EXIT_TERMINATED);
    }
    die(path);
}

static _Noreturn void serve(const char *path) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM), sigaddset(&set, SIGINT), sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    connect_runner(path, &set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    if ((signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)) < 0) die("signalfd");
    if (prctl(PR_SET_CHILD_SUBREAPER, 1)) die("prctl");
    say('H', 2, VERSION, getpid());
    for (;;) {
        int idle = out_end == 0;
        struct pollfd fds[] = {{runner, POLLIN | (idle ? 0 : POLLOUT), 0},
                               {signals, POLLIN, 0},
                               {idle ? output : -1, POLLIN, 0}};
        if (deadline && !tool && !draining && idle) leave(EXIT_TERMINATED);
        if (deadline && now_ms() >= deadline) leave(EXIT_TERMINATED);
        if (poll(fds, 3, deadline ? 100 : draining && idle ? 0 : -1) < 0 && errno != EINTR) die("poll");
        if (fds[0].revents) read_requests();
        if (fds[1].revents) read_signals();
        flush_out();
        if (output >= 0 && out_end == 0 && (draining || fds[2].revents)) forward_output();
    }
}

/* ---- copy ----------------------------------------------------------------------------------- */

static size_t copied;

static int copy_file(const char *from, const char *to) {
    static char block[65536];
    ssize_t n = 0;
    int source = open(from, O_RDONLY | O_CLOEXEC);
    if (source < 0) return wrong(from, strerror(errno));
    int target = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (target < 0) return close(source), wrong(to, strerror(errno));
    while ((n = read(source, block, sizeof block)) > 0 && (copied += n) <= COPY_LIMIT)
        for (ssize_t done = 0, m; done < n; done += m)
            if ((m = write(target, block + done, n - done)) < 0)
                return close(source), close(target), wrong(to, strerror(errno));
    close(source), close(target);
    if (copied > COPY_LIMIT) return wrong(from, "the directory holds more than 64 MiB");
    return n < 0 ? wrong(from, strerror(errno)) : 1;
}

static int copy_tree(const char *from, const char *to, int depth) {
    char source[4096], target[4096];
    struct dirent *entry;
    struct stat found;
    int good = 1;
    DIR *directory = opendir(from);
    if (!directory) return wrong(from, strerror(errno));
    if (mkdir(to, 0755) && errno != EEXIST) good = wrong(to, strerror(errno));
    if (depth > DEPTH_LIMIT) good = wrong(from, "nested too deeply");
    while (good && (entry = readdir(directory))) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        int a = snprintf(source, sizeof source, "%s/%s", from, entry->d_name);
        int b = snprintf(target, sizeof target, "%s/%s", to, entry->d_name);
        if (a >= (int)sizeof source || b >= (int)sizeof target) good = wrong(from, "path too long");
        else if (stat(source, &found)) good = wrong(source, strerror(errno));
        else if (S_ISREG(found.st_mode)) good = copy_file(source, target);
        else if (S_ISDIR(found.st_mode)) good = copy_tree(source, target, depth + 1);
        else good = wrong(source, "neither a file nor a directory");
    }
    closedir(directory);
    return good;
}

/* A failure is written beside DST for the runner, the one that talks to people; so this ends with 0. */
static int copy(const char *from, const char *to) {
    char path[4096];
    umask(0);
    if (copy_tree(from, to, 0)) return 0;
    fprintf(stderr, "whimbrel-launcher: %s\n", problem);
    if (snprintf(path, sizeof path, "%s.error", to) >= (int)sizeof path) return 1;
    FILE *file = fopen(path, "w");
    return !file || fputs(problem, file) < 0 || fclose(file);
}

int main(int argc, char **argv) {
    if (argc == 3 && !strcmp(argv[1], "serve")) serve(argv[2]);
    if (argc == 4 && !strcmp(argv[1], "copy")) return copy(argv[2], argv[3]);
    fputs("usage: whimbrel-launcher serve SOCKET | copy SRC DST\n", stderr);
    return 2;
}
