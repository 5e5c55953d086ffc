/* SPDX-License-Identifier: Apache-2.0 */
#include "rxdm.h"

#include <dirent.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct metadata {
	int32_t fd;
	uint32_t pad;
	uint64_t len_bytes, align_bytes;
};

struct server {
	const struct rxdm_pool *pool;
	enum rxdm_way way;
	bool metadata;
	int listen_fd;
};

static bool read_all(int fd, uint8_t *to, size_t n)
{
	while (n) {
		ssize_t got = read(fd, to, n);

		if (got <= 0)
			return false;
		to += got;
		n -= (size_t)got;
	}
	return true;
}

/* {1: PCI}, and nothing else. */
static bool asks_for(int fd, const char *pci)
{
	uint8_t head[2], body[256];

	if (!read_all(fd, head, 2))
		return false;
	size_t n = (size_t)head[0] << 8 | head[1];

	return n == 2 + strlen(pci) && n <= sizeof(body) &&
	       read_all(fd, body, n) && body[0] == 10 &&
	       body[1] == strlen(pci) && !memcmp(body + 2, pci, strlen(pci));
}

static void send_metadata(const struct server *s, int fd)
{
	struct metadata m = {s->pool->fd, 0, s->pool->len_bytes, 2u << 20};
	uint8_t frame[4 + sizeof(m)] = {0, 2 + sizeof(m), 10, sizeof(m)};

	if (s->way == RXDM_JUNK)
		frame[1] = frame[3] = 7;
	if (s->way == RXDM_EMPTY)
		m.len_bytes = 0;
	if (s->way == RXDM_OTHER_SIZE)
		m.len_bytes *= 2;
	memcpy(frame + 4, &m, sizeof(m));
	(void)!write(fd, frame, sizeof(frame));
}

static void send_fd(const struct server *s, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = {0}, byte = 0;
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (s->way != RXDM_WITHOUT_FD) {
		msg.msg_control = control;
		msg.msg_controllen = sizeof(control);
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &s->pool->fd, sizeof(int));
	}
	(void)!sendmsg(fd, &msg, MSG_NOSIGNAL);
}

static void *serve(void *arg)
{
	struct server *s = arg;
	int fd;

	while ((fd = accept(s->listen_fd, NULL, NULL)) >= 0) {
		bool good = asks_for(fd, s->pool->pci);

		if (s->way == RXDM_SILENT)
			continue; /* and the connection stays */
		if (good && s->way != RXDM_CLOSES && s->metadata)
			send_metadata(s, fd);
		else if (good && s->way != RXDM_CLOSES)
			send_fd(s, fd);
		close(fd);
	}
	return NULL;
}

static int start(const char *dir, const char *kind, struct server server)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct server *s = malloc(sizeof(*s));
	pthread_t thread;

	if (!s ||
	    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/%s_%s", dir,
		     kind, server.pool->pci) >= (int)sizeof(addr.sun_path))
		return -1;
	*s = server;
	s->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	unlink(addr.sun_path);
	if (s->listen_fd < 0 ||
	    bind(s->listen_fd, (struct sockaddr *)&addr, sizeof(addr)) ||
	    listen(s->listen_fd, 16) || pthread_create(&thread, NULL, serve, s))
		return -1;
	return pthread_detach(thread);
}

int rxdm_serve(const char *dir, const struct rxdm_pool *pool, enum rxdm_way way)
{
	if (start(dir, "get_gpu_metadata",
		  (struct server){pool, way, true, -1}))
		return -1;
	return start(dir, "get_gpu_fd", (struct server){pool, way, false, -1});
}

void rxdm_clean(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *entry;

	while (d && (entry = readdir(d)))
		if (entry->d_name[0] != '.')
			unlinkat(dirfd(d), entry->d_name, 0);
	if (d)
		closedir(d);
	rmdir(dir);
}
