/* SPDX-License-Identifier: Apache-2.0 */
#include "e2e/raw.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/scale.h"

static struct sockaddr_in loopback(uint16_t port)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_port = htons(port)};

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return addr;
}

int raw_connect(uint16_t port)
{
	struct sockaddr_in addr = loopback(port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (void *)&addr, sizeof(addr))) {
		close(fd);
		return -1;
	}
	return fd;
}

bool raw_send(int fd, const void *data, size_t len_bytes)
{
	const char *at = data;

	while (len_bytes) {
		ssize_t n = send(fd, at, len_bytes, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		at += n;
		len_bytes -= (size_t)n;
	}
	return true;
}

ssize_t raw_read(int fd, void *buf, size_t cap_bytes, int timeout_ms)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	ssize_t n;

	if (poll(&pfd, 1, timeout_ms) <= 0)
		return -1;
	n = recv(fd, buf, cap_bytes, 0);
	return n < 0 ? 0 : n;
}

bool raw_wait_closed(int fd, int timeout_ms)
{
	uint64_t end_ns = test_now_ns() + (uint64_t)timeout_ms * 1000000u;
	char buf[4096];

	while (test_now_ns() < end_ns) {
		if (raw_read(fd, buf, sizeof(buf), 50) == 0)
			return true;
	}
	return false;
}

/* ---- the man in the middle ---- */

#define RECORD_MAX 65536u
#define CONNECTIONS 16

struct proxy {
	pthread_t thread;
	int listen_fd;
	uint16_t port;
	long flip_at;
	_Atomic bool stop;
	struct {
		int client, server;
		long n_bytes; /* of the client so far */
	} conns[CONNECTIONS];
	int n_conns;
	pthread_mutex_t lock; /* guards what follows */
	uint8_t record[RECORD_MAX];
	size_t n_recorded;
};

static void record(struct proxy *proxy, const uint8_t *data, size_t n)
{
	pthread_mutex_lock(&proxy->lock);
	if (n > RECORD_MAX - proxy->n_recorded)
		n = RECORD_MAX - proxy->n_recorded;
	memcpy(proxy->record + proxy->n_recorded, data, n);
	proxy->n_recorded += n;
	pthread_mutex_unlock(&proxy->lock);
}

static void take_in(struct proxy *proxy)
{
	int client = accept(proxy->listen_fd, NULL, NULL);
	int i = proxy->n_conns;

	if (client < 0)
		return;
	if (i == CONNECTIONS) {
		close(client);
		return;
	}
	proxy->conns[i].client = client;
	proxy->conns[i].server = raw_connect(proxy->port);
	proxy->conns[i].n_bytes = 0;
	proxy->n_conns++;
}

static void hang_up(struct proxy *proxy, int i)
{
	close(proxy->conns[i].client);
	close(proxy->conns[i].server);
	proxy->conns[i].client = proxy->conns[i].server = -1;
}

static void carry(struct proxy *proxy, int i, bool from_client)
{
	int client = proxy->conns[i].client, server = proxy->conns[i].server;
	uint8_t data[4096];
	ssize_t n = recv(from_client ? client : server, data, sizeof(data), 0);
	long flip = proxy->flip_at - proxy->conns[i].n_bytes;

	if (n <= 0) {
		hang_up(proxy, i);
		return;
	}
	if (from_client) {
		if (i == 0)
			record(proxy, data, (size_t)n);
		if (proxy->flip_at >= 0 && flip >= 0 && flip < n)
			data[flip] ^= 0x40;
		proxy->conns[i].n_bytes += n;
	}
	if (!raw_send(from_client ? server : client, data, (size_t)n))
		hang_up(proxy, i);
}

static void *proxy_run(void *arg)
{
	struct proxy *proxy = arg;

	while (!atomic_load(&proxy->stop)) {
		struct pollfd fds[1 + 2 * CONNECTIONS];
		int n = proxy->n_conns;

		fds[0] = (struct pollfd){.fd = proxy->listen_fd,
					 .events = POLLIN};
		for (int i = 0; i < n; i++) {
			fds[1 + 2 * i] = (struct pollfd){
				.fd = proxy->conns[i].client, .events = POLLIN};
			fds[2 + 2 * i] = (struct pollfd){
				.fd = proxy->conns[i].server, .events = POLLIN};
		}
		if (poll(fds, (nfds_t)(1 + 2 * n), 20) <= 0)
			continue;
		for (int i = 0; i < n; i++) {
			if (fds[1 + 2 * i].revents)
				carry(proxy, i, true);
			else if (fds[2 + 2 * i].revents)
				carry(proxy, i, false);
		}
		if (fds[0].revents)
			take_in(proxy);
	}
	return NULL;
}

struct proxy *proxy_start(uint16_t port, long flip_at, uint16_t *proxy_port)
{
	struct proxy *proxy = calloc(1, sizeof(*proxy));
	struct sockaddr_in addr = loopback(0);
	socklen_t len = sizeof(addr);

	if (!proxy)
		abort();
	pthread_mutex_init(&proxy->lock, NULL);
	proxy->port = port;
	proxy->flip_at = flip_at;
	proxy->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(proxy->listen_fd, (void *)&addr, sizeof(addr)) ||
	    listen(proxy->listen_fd, 16) ||
	    getsockname(proxy->listen_fd, (void *)&addr, &len) ||
	    pthread_create(&proxy->thread, NULL, proxy_run, proxy))
		abort();
	*proxy_port = ntohs(addr.sin_port);
	return proxy;
}

size_t proxy_recorded(struct proxy *proxy, void *buf, size_t cap_bytes)
{
	size_t n;

	pthread_mutex_lock(&proxy->lock);
	n = proxy->n_recorded < cap_bytes ? proxy->n_recorded : cap_bytes;
	memcpy(buf, proxy->record, n);
	pthread_mutex_unlock(&proxy->lock);
	return n;
}

void proxy_stop(struct proxy *proxy)
{
	atomic_store(&proxy->stop, true);
	pthread_join(proxy->thread, NULL);
	for (int i = 0; i < proxy->n_conns; i++) {
		if (proxy->conns[i].client >= 0)
			hang_up(proxy, i);
	}
	close(proxy->listen_fd);
	pthread_mutex_destroy(&proxy->lock);
	free(proxy);
}
