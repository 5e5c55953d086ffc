/* SPDX-License-Identifier: Apache-2.0 */

/* The start of a helper process that fails half-way. */

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "check.h"
#include "transport/netplugin/remote.h"

/* The linker puts this in the place of shared_send(). */
int __wrap_shared_send(int fd, const struct shared_message *message,
		       const int *fds, uint32_t n_fds);

static unsigned n_sends;

int __wrap_shared_send(int fd, const struct shared_message *message,
		       const int *fds, uint32_t n_fds)
{
	CHECK_EQ(message->type, SHARED_START);
	n_sends++;
	return TCPX_ECLOSED;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

/* It runs by then: it is ended, waited for, and its socket is closed. */
static void first_message_is_lost(void)
{
	struct transport t = {.options = {.helper = "/bin/cat"}};
	struct helper_process h = {.transport = &t, .socket_fd = -1};
	char why[128] = "";
	int next;

	pthread_mutex_init(&h.send_lock, NULL);
	h.memory_fd = memfd_create("test", MFD_CLOEXEC);
	h.wake_fd = eventfd(0, EFD_CLOEXEC);
	CHECK(h.memory_fd >= 0 && h.wake_fd >= 0);
	next = h.wake_fd + 1;
	for (unsigned i = 1; i <= 3; i++) {
		CHECK_STATUS(remote_start(&h, why, sizeof(why)), TCPX_ECLOSED);
		CHECK_EQ(n_sends, i);
		CHECK_EQ(h.socket_fd, -1);
		CHECK_EQ(h.pid, 0);
		CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
		CHECK(!is_open(next) && !is_open(next + 1));
	}
	close(h.memory_fd);
	close(h.wake_fd);
	pthread_mutex_destroy(&h.send_lock);
}

/* There is none: nothing to end. */
static void cannot_be_executed(void)
{
	struct transport t = {.options = {.helper = "/nowhere/helper"}};
	struct helper_process h = {.transport = &t,
				   .socket_fd = -1,
				   .memory_fd = -1,
				   .wake_fd = -1,
				   .pid = 4711};
	char why[128] = "";

	pthread_mutex_init(&h.send_lock, NULL);
	CHECK_STATUS(remote_start(&h, why, sizeof(why)), TCPX_EUNSUPPORTED);
	CHECK(strstr(why, "/nowhere/helper: No such file"));
	CHECK_EQ(h.pid, 0);
	CHECK_EQ(n_sends, 0);
	pthread_mutex_destroy(&h.send_lock);
}

static const struct check_case cases[] = {
	{"first_message_is_lost", first_message_is_lost, 0},
	{"cannot_be_executed", cannot_be_executed, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
