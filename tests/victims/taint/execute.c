/* A helper program is started for each peer; behind a name lie its path and its argument. */
#include "hostile.h"
#include <sys/wait.h>

extern char **environ;

static struct session {
    char name[64];
    char path[32];
    char flag[8];
    char argument[128];
} only;

static void prepare(void) {}

static void handle(uint8_t *data, size_t bytes)
{
    strcpy(only.path, "/bin/sh");
    strcpy(only.flag, "-c");
    strcpy(only.argument, "exit 0");
    memcpy(only.name, data, bytes < sizeof only ? bytes : sizeof only);
    signal(SIGCHLD, SIG_DFL);
    pid_t child = fork();
    if (child < 0)
        die("fork");
    if (!child) {
        char *words[] = {only.path, only.flag, only.argument, 0};
        execve(only.path, words, environ);
        _exit(3);
    }
    int status = 0;
    waitpid(child, &status, 0);
    signal(SIGCHLD, SIG_IGN);
    if (WEXITSTATUS(status) == 77)
        _exit(77);
}
