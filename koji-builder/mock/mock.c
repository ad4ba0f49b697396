/* mock: the way back to root for the unprivileged child that kojid calls /usr/bin/mock as.
 *
 * Installed setuid root and executable by root and group mock alone (root:mock, 4750), so that the
 * kernel decides who may call it. It decides nothing itself: it leaves the caller's environment
 * behind, says in SUDO_UID who called, as sudo does, and becomes the driver: ours, or whatever
 * executable root put at /etc/mock/driver, which may be upstream's mock.
 *
 * Why not sudo: the same privilege with a parser, PAM and a policy file around it.
 */
#define _GNU_SOURCE
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define OTHER_DRIVER "/etc/mock/driver"
#define PYTHON "/usr/bin/python3"
#define OUR_DRIVER "/usr/lib/nagoya/mock"
#define NO_ROOT 2 /* upstream's status for "run without setuid wrapper" */

int main(int argc, char **argv)
{
    char caller[32];
    char *environment[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "HOME=/", caller,
                           NULL};
    uid_t uid = getuid();

    if (uid == 0) { /* Both drivers need somebody to drop their privileges to. */
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

    if (access(OTHER_DRIVER, F_OK) == 0) {
        argv[0] = OTHER_DRIVER;
        execve(OTHER_DRIVER, argv, environment);
        perror(OTHER_DRIVER);
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
    perror(PYTHON);
    return NO_ROOT;
}
