/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What raw TCP does where a small message goes beside a large one: two
 * connections between two processes, one full of bytes, a thread each way, and
 * a ping-pong on the other. Everybody sleeps in the kernel while there is
 * nothing to do, and whose turn it is is the kernel's choice: what is left of
 * our own delay beside that is ours.
 */
#include "micro.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define AREA_BYTES (64u << 20)
#define CALL_BYTES (512u << 10)
#define MESSAGE_BYTES 64

enum { LARGE, SMALL, N_LINKS };

struct raw {
	pid_t pid;
	int fds[N_LINKS];
};

static char *make_area(void)
{
	char *area = malloc(AREA_BYTES);

	must(area ? 0 : TCPX_ENOMEM, "memory");
	memset(area, 1, AREA_BYTES);
	return area;
}

/* False: the other side has closed it. */
static bool send_all(int fd, const char *from, size_t n_bytes)
{
	while (n_bytes) {
		ssize_t n = send(fd, from, n_bytes, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		from += n;
		n_bytes -= (size_t)n;
	}
	return true;
}

static void *pour(void *arg)
{
	const struct raw *raw = arg;
	char *area = make_area();
	size_t at = 0;

	while (send_all(raw->fds[LARGE], area + at, CALL_BYTES))
		at = (at + CALL_BYTES) % AREA_BYTES;
	free(area);
	return NULL;
}

static void *drink(void *arg)
{
	const struct raw *raw = arg;
	char *area = make_area();
	size_t at = 0;
	ssize_t n;

	while ((n = recv(raw->fds[LARGE], area + at,
			 CALL_BYTES - at % CALL_BYTES, 0)) > 0)
		at = (at + (size_t)n) % AREA_BYTES;
	_exit(0);
}

static _Noreturn void echo_main(int listener)
{
	struct raw raw;
	char message[MESSAGE_BYTES];
	pthread_t thread;
	int one = 1;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int i = 0; i < N_LINKS; i++) {
		raw.fds[i] = accept(listener, NULL, NULL);
		setsockopt(raw.fds[i], IPPROTO_TCP, TCP_NODELAY, &one,
			   sizeof(one));
	}
	pthread_create(&thread, NULL, drink, &raw);
	while (recv(raw.fds[SMALL], message, sizeof(message), MSG_WAITALL) ==
	       sizeof(message))
		if (!send_all(raw.fds[SMALL], message, sizeof(message)))
			break;
	_exit(0);
}

static void raw_open(struct raw *raw)
{
	struct sockaddr_in addr = {.sin_family = AF_INET};
	socklen_t len = sizeof(addr);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	must(listener < 0 || bind(listener, (void *)&addr, len) ||
			     listen(listener, N_LINKS) ||
			     getsockname(listener, (void *)&addr, &len) ?
		     TCPX_EUNREACHABLE :
		     0,
	     "a socket of loopback");
	raw->pid = fork();
	must(raw->pid < 0 ? TCPX_ENOMEM : 0, "fork");
	if (!raw->pid)
		echo_main(listener);
	close(listener);
	for (int i = 0; i < N_LINKS; i++) {
		raw->fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		must(connect(raw->fds[i], (void *)&addr, len) ? TCPX_EREFUSED :
								0,
		     "connecting over loopback");
		setsockopt(raw->fds[i], IPPROTO_TCP, TCP_NODELAY, &one,
			   sizeof(one));
	}
}

json_t *raw_beside(size_t n)
{
	char message[MESSAGE_BYTES] = {0};
	double *took_ns = calloc(n, sizeof(*took_ns));
	pthread_t thread;
	struct raw raw;

	raw_open(&raw);
	pthread_create(&thread, NULL, pour, &raw);
	sleep_ms(50);
	for (size_t i = 0; i < n; i++) {
		uint64_t begin_ns = now_ns();

		must(send_all(raw.fds[SMALL], message, sizeof(message)) &&
				     recv(raw.fds[SMALL], message,
					  sizeof(message),
					  MSG_WAITALL) == sizeof(message) ?
			     0 :
			     TCPX_ECLOSED,
		     "a raw ping-pong");
		took_ns[i] = (double)(now_ns() - begin_ns);
		sleep_ms(1);
	}
	shutdown(raw.fds[LARGE], SHUT_RDWR);
	pthread_join(thread, NULL);
	close(raw.fds[LARGE]);
	close(raw.fds[SMALL]);
	waitpid(raw.pid, NULL, 0);
	json_t *figures = summary(took_ns, n);

	free(took_ns);
	return figures;
}
