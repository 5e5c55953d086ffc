/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/netplugin/spawn.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <tcpx/status.h>
#include <unistd.h>

#include "transport/netplugin/options.h"
#include "transport/netplugin/shared.h"

#define HELPER_NAME "tcpx-netplugin-helper"
#define ENV_ADDED_MAX 16

/* ---- which program ----------------------------------------------------- */

static int open_beside(void)
{
	Dl_info info;
	char path[512];
	char *slash;

	if (!dladdr((void *)(uintptr_t)&spawn_helper, &info) || !info.dli_fname)
		return -1;
	if (snprintf(path, sizeof(path), "%s", info.dli_fname) >=
	    (int)sizeof(path) - (int)sizeof(HELPER_NAME))
		return -1;
	slash = strrchr(path, '/');
	if (!slash)
		return -1;
	strcpy(slash + 1, HELPER_NAME);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static int open_carried(void)
{
	size_t left = (size_t)(netplugin_helper_end - netplugin_helper_begin);
	const unsigned char *from = netplugin_helper_begin;
	int fd = memfd_create(HELPER_NAME, MFD_CLOEXEC);

	while (fd >= 0 && left) {
		ssize_t n = write(fd, from, left);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			close(fd);
			return -1;
		}
		from += n;
		left -= (size_t)n;
	}
	return fd;
}

static int open_program(const struct options *options, char *why,
			size_t cap_bytes)
{
	int fd;

	if (options->helper) {
		fd = open(options->helper, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			snprintf(why, cap_bytes, "TCPX_NETPLUGIN_HELPER %s: %s",
				 options->helper, strerrordesc_np(errno));
		return fd;
	}
	fd = open_beside();
	if (fd < 0)
		fd = open_carried();
	if (fd < 0)
		snprintf(why, cap_bytes, "no helper program: %s",
			 strerrordesc_np(errno));
	return fd;
}

/* ---- its environment --------------------------------------------------- */

struct environment {
	char **all;
	char *added[ENV_ADDED_MAX];
	uint32_t n_added;
};

static void add(void *arg, const char *variable, const char *value)
{
	struct environment *env = arg;
	char *text;

	if (env->n_added < ENV_ADDED_MAX &&
	    asprintf(&text, "%s=%s", variable, value) >= 0)
		env->added[env->n_added++] = text;
}

static bool make_environment(const struct options *options,
			     struct environment *env)
{
	uint32_t n = 0;

	*env = (struct environment){0};
	options_for_plugin(&options_env_process, options, add, env);
	options_bindings_for_plugin(&options_env_process, add, env);
	while (environ[n])
		n++;
	env->all = calloc(n + env->n_added + 1, sizeof(*env->all));
	if (!env->all)
		return false;
	memcpy(env->all, environ, n * sizeof(*env->all));
	memcpy(env->all + n, env->added, env->n_added * sizeof(*env->all));
	return true;
}

static void free_environment(struct environment *env)
{
	for (uint32_t i = 0; i < env->n_added; i++)
		free(env->added[i]);
	free(env->all);
}

/* ---- starting ---------------------------------------------------------- */

/* dup2() to itself would leave close-on-exec set, so the three are moved out
 * of the way of each other first: to numbers from 10 on. */
static int move_away(const int from[3], int to[3])
{
	for (int i = 0; i < 3; i++) {
		to[i] = fcntl(from[i], F_DUPFD_CLOEXEC, 10);
		if (to[i] < 0) {
			while (i-- > 0)
				close(to[i]);
			return TCPX_ENFILE;
		}
	}
	return TCPX_OK;
}

static int spawn(const char *path, const int fds[3], char **envp, pid_t *pid)
{
	char name[] = HELPER_NAME, *argv[] = {name, NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none, some;
	int rc;

	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attr);
	for (int i = 0; i < 3; i++)
		posix_spawn_file_actions_adddup2(&actions, fds[i],
						 SHARED_FD_SOCKET + i);
	sigemptyset(&none);
	sigfillset(&some);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setsigdefault(&attr, &some);
	/* A group of its own: a Ctrl-C is for the program, and its end is the
	 * helper's. */
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK |
						POSIX_SPAWN_SETSIGDEF |
						POSIX_SPAWN_SETPGROUP);
	rc = posix_spawn(pid, path, &actions, &attr, argv, envp);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	return rc;
}

int spawn_helper(const struct options *options, int socket_fd, int memory_fd,
		 int wake_fd, pid_t *pid, char *why, size_t cap_bytes)
{
	const int from[3] = {socket_fd, memory_fd, wake_fd};
	struct environment env;
	char carried[32];
	const char *path = options->helper ? options->helper : carried;
	int fds[3], program = open_program(options, why, cap_bytes);

	if (program < 0)
		return TCPX_EUNSUPPORTED;
	if (move_away(from, fds)) {
		snprintf(why, cap_bytes, "out of file descriptors");
		close(program);
		return TCPX_EUNSUPPORTED;
	}
	snprintf(carried, sizeof(carried), "/proc/self/fd/%d", program);
	int rc = ENOMEM;

	if (make_environment(options, &env))
		rc = spawn(path, fds, env.all, pid);
	free_environment(&env);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	close(program);
	if (!rc)
		return TCPX_OK;
	snprintf(why, cap_bytes, "the helper program cannot be executed: %s",
		 strerrordesc_np(rc));
	return TCPX_EUNSUPPORTED;
}
