/* mock: gives root to the unprivileged process as which kojid runs /usr/bin/mock.
 *
 * Installed setuid root and executable by root and the group mock alone (root:mock, 4750), so the
 * kernel decides who may call it. It has no policy of its own: it resets what it inherits from the
 * caller, passes the caller's uid in SUDO_UID, as sudo does, and executes the driver. That is ours,
 * or an executable of root's at /etc/mock/driver, such as upstream's mock.
 *
 * sudo would grant the same privilege, with a parser, PAM and a policy file around it.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define OTHER_DRIVER "/etc/mock/driver"
#define PYTHON "/usr/bin/python3"
#define OUR_DRIVER "/usr/lib/nagoya/mock"
#define NO_ROOT 2 /* upstream's status for "run without setuid wrapper" */

/* Undo what the caller blocked or ignored. With SIGCHLD ignored, for example, waitpid(2) fails. */
static void reset_signals(void)
{
    sigset_t none;

    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL); /* fails for those that cannot be changed */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Lift a limit on the size of files, which would truncate what dnf and rpm write. Without
 * CAP_SYS_RESOURCE the hard limit remains, which is the container's unless the caller lowered it. */
static void reset_limits(void)
{
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};

    if (setrlimit(RLIMIT_FSIZE, &limit) && !getrlimit(RLIMIT_FSIZE, &limit)) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_FSIZE, &limit);
    }
}

/* Keep the caller's descriptors above stderr from root's shell in the chroot. close_range(2) would be
 * shorter, but needs Linux 5.11. */
static int close_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    struct dirent *entry;

    if (directory == NULL)
        return -1;
    while ((entry = readdir(directory)) != NULL) {
        int descriptor = atoi(entry->d_name);
        if (descriptor > STDERR_FILENO)
            fcntl(descriptor, F_SETFD, FD_CLOEXEC);
    }
    return closedir(directory);
}

/* Whether root alone can change the other driver: the link, if it is one, and the file. */
static int is_roots(const struct stat *link)
{
    struct stat file;

    if (stat(OTHER_DRIVER, &file)) {
        perror("ERROR: " OTHER_DRIVER);
        return 0;
    }
    if (link->st_uid != 0 || file.st_uid != 0 || file.st_mode & (S_IWGRP | S_IWOTH)) {
        fputs("ERROR: " OTHER_DRIVER " must belong to root and be writable by root alone\n",
              stderr);
        return 0;
    }
    return 1;
}

int main(int argc, char **argv)
{
    char caller[32];
    char *environment[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "HOME=/", caller,
                           NULL};
    uid_t uid = getuid();
    struct stat link;

    if (argc < 1) /* possible before Linux 5.18: argv[0] is NULL, and the environment follows */
        return NO_ROOT;
    if (uid == 0) { /* Both drivers need a user to drop their privileges to. */
        struct passwd *builder = getpwnam("kojibuilder");
        if (builder != NULL)
            uid = builder->pw_uid;
    }
    if (geteuid() != 0 || setgroups(0, NULL) || setresgid(0, 0, 0) || setresuid(0, 0, 0)) {
        fputs("ERROR: mock could not become root\n"
              "  hint: the container must not run with no-new-privileges, needs the capabilities "
              "SETUID and SETGID, and /usr must not be mounted nosuid\n", stderr);
        return NO_ROOT;
    }
    snprintf(caller, sizeof caller, "SUDO_UID=%u", (unsigned)uid);
    umask(022);
    reset_signals();
    reset_limits();
    if (close_descriptors()) {
        perror("ERROR: /proc/self/fd");
        return NO_ROOT;
    }

    /* Ours runs only if there is no other driver, and never because the other one is broken. */
    if (lstat(OTHER_DRIVER, &link) == 0) {
        if (!is_roots(&link))
            return NO_ROOT;
        argv[0] = OTHER_DRIVER;
        execve(OTHER_DRIVER, argv, environment);
        perror("ERROR: " OTHER_DRIVER);
        return NO_ROOT;
    }
    if (errno != ENOENT) {
        perror("ERROR: " OTHER_DRIVER);
        return NO_ROOT;
    }
    char **arguments = calloc(argc + 3, sizeof *arguments);
    if (arguments == NULL)
        return NO_ROOT;
    arguments[0] = PYTHON;
    arguments[1] = "-I"; /* no PYTHON* variable, no user's site directory */
    arguments[2] = OUR_DRIVER;
    for (int i = 1; i < argc; i++)
        arguments[i + 2] = argv[i];
    execve(PYTHON, arguments, environment);
    perror("ERROR: " PYTHON);
    return NO_ROOT;
}
