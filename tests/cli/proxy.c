/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>

#include "check.h"

static struct sockaddr_in server;
static uint64_t flip_off;
static unsigned n_flips; /* atomic */

/* One direction of a connection. */
struct way {
	int from, to;
	bool flips;
};

static struct sockaddr_in address(const char *text, uint16_t port)
{
	struct sockaddr_in sa = {.sin_family = AF_INET,
				 .sin_port = htons(port)};

	CHECK_EQ(inet_pton(AF_INET, text, &sa.sin_addr), 1);
	return sa;
}

static bool send_all(int fd, const char *buf, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, buf, len, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		buf += n;
		len -= (size_t)n;
	}
	return true;
}

static void *carry(void *arg)
{
	struct way *way = arg;
	char buf[65536];
	uint64_t off = 0;
	ssize_t n;

	while ((n = recv(way->from, buf, sizeof(buf), 0)) > 0) {
		if (way->flips && flip_off >= off &&
		    flip_off < off + (uint64_t)n) {
			buf[flip_off - off] ^= 0x20;
			__atomic_add_fetch(&n_flips, 1, __ATOMIC_SEQ_CST);
		}
		off += (uint64_t)n;
		if (!send_all(way->to, buf, (size_t)n))
			break;
	}
	shutdown(way->to, SHUT_WR);
	free(way);
	return NULL;
}

static void spawn(void *(*fn)(void *), void *arg)
{
	pthread_t thread;

	CHECK_EQ(pthread_create(&thread, NULL, fn, arg), 0);
	pthread_detach(thread);
}

static void open_way(int from, int to, bool flips)
{
	struct way *way = malloc(sizeof(*way));

	CHECK(way);
	*way = (struct way){from, to, flips};
	spawn(carry, way);
}

static void *accept_all(void *arg)
{
	int listener = *(int *)arg, client, onward;

	while ((client = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		onward = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (connect(onward, (struct sockaddr *)&server,
			    sizeof(server))) {
			close(onward);
			close(client);
			continue;
		}
		open_way(client, onward, true);
		open_way(onward, client, false);
	}
	return NULL;
}

void proxy_start(uint16_t port, uint64_t off)
{
	static int listener;
	struct sockaddr_in here = address(PROXY_ADDRESS, port);
	int one = 1;

	server = address(PROXY_SERVER, port);
	flip_off = off;
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	CHECK_EQ(bind(listener, (struct sockaddr *)&here, sizeof(here)), 0);
	CHECK_EQ(listen(listener, 64), 0);
	spawn(accept_all, &listener);
}

unsigned proxy_flips(void)
{
	return __atomic_load_n(&n_flips, __ATOMIC_SEQ_CST);
}
