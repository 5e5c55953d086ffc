/* SPDX-License-Identifier: Apache-2.0 */
#include "api/cut.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "check.h"
#include "support/scale.h"

#define FDS_MAX 256
#define LEARN_BYTES (8u << 20)

struct end {
	uint16_t id; /* port of the connector's end: names the connection */
	uint64_t sent_bytes;
};

/* A descriptor of ours for whatever fd is now, which the library may close
 * and use again at any time; -1. Not by dup(), which thread checkers take for
 * a use of fd. */
static int pin(int fd)
{
	return (int)syscall(SYS_dup, fd);
}

static uint16_t port_of(const struct sockaddr_storage *addr)
{
	if (addr->ss_family == AF_INET)
		return ntohs(((const struct sockaddr_in *)addr)->sin_port);
	if (addr->ss_family == AF_INET6)
		return ntohs(((const struct sockaddr_in6 *)addr)->sin6_port);
	return 0;
}

/* Is it one end of a connection to that port? */
static bool look_at(const struct cut *cut, int fd, struct end *end)
{
	struct sockaddr_storage local, remote;
	socklen_t local_len = sizeof(local), remote_len = sizeof(remote);
	struct tcp_info info;
	socklen_t len = sizeof(info);

	memset(&info, 0, sizeof(info));
	if (getsockname(fd, (void *)&local, &local_len) ||
	    getpeername(fd, (void *)&remote, &remote_len) ||
	    getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len))
		return false;
	end->sent_bytes = info.tcpi_bytes_acked;
	end->id = port_of(&remote) == cut->port ? port_of(&local) :
						  port_of(&remote);
	return port_of(&remote) == cut->port || port_of(&local) == cut->port;
}

static bool is_flow(const struct cut *cut, uint16_t id)
{
	for (size_t i = 0; i < cut->n_flows; i++)
		if (cut->flows[i] == id)
			return true;
	return false;
}

enum which { ALL, BUT_FLOWS, BUT_CONTROL };

static bool is_one(const struct cut *cut, enum which which, uint16_t id)
{
	return which == ALL	  ? true :
	       which == BUT_FLOWS ? !is_flow(cut, id) :
				    id != cut->ctl;
}

/* Pinned ends of all such connections to the port; the number. */
static size_t pin_all(const struct cut *cut, enum which which, int *fds,
		      struct end *ends)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	size_t n = 0;

	CHECK(dir);
	while ((entry = readdir(dir)) && n < FDS_MAX) {
		int fd = entry->d_name[0] == '.' ? -1 :
						   pin(atoi(entry->d_name));

		if (fd < 0)
			continue;
		if (look_at(cut, fd, &ends[n]) &&
		    is_one(cut, which, ends[n].id))
			fds[n++] = fd;
		else
			close(fd);
	}
	closedir(dir);
	return n;
}

/* How many connections have carried little so far, and one of them. */
static size_t count_small(const struct cut *cut, uint16_t *id, size_t *n_all)
{
	struct end ends[FDS_MAX];
	int fds[FDS_MAX];
	size_t n = pin_all(cut, ALL, fds, ends), small = 0;

	*n_all = 0;
	for (size_t i = 0; i < n; i++) {
		struct sockaddr_storage remote;
		socklen_t len = sizeof(remote);
		bool of_a = !getpeername(fds[i], (void *)&remote, &len) &&
			    port_of(&remote) == cut->port;

		close(fds[i]);
		*n_all += of_a;
		if (!of_a || ends[i].sent_bytes > LEARN_BYTES / 16)
			continue;
		*id = ends[i].id;
		small++;
	}
	return small;
}

static void learn_flows(struct cut *cut)
{
	struct end ends[FDS_MAX];
	int fds[FDS_MAX];
	size_t n = pin_all(cut, BUT_CONTROL, fds, ends);

	for (size_t i = 0; i < n; i++) {
		close(fds[i]);
		if (is_flow(cut, ends[i].id))
			continue;
		CHECK(cut->n_flows < CUT_FLOWS_MAX);
		cut->flows[cut->n_flows++] = ends[i].id;
	}
}

void cut_learn(struct cut *cut, struct pair *pair, size_t n_flows)
{
	const uint32_t rights = TCPX_ACCESS_REMOTE_WRITE;
	uint64_t end = test_now_ns() + (uint64_t)scale_ms(20000) * 1000000u;
	struct region src, dst;
	uint64_t local, owned, xfer;
	size_t n_all;

	*cut = (struct cut){.port = tcpx_session_port(pair->b->s)};
	region_init(&src, LEARN_BYTES, 1);
	region_init(&dst, LEARN_BYTES, 2);
	local = sess_register(pair->a, &src, 0);
	owned = sess_register(pair->b, &dst, rights);
	xfer = xfer_one(pair->a, pair->ab, TCPX_OP_WRITE, local, 0,
			sess_share(pair->b, owned, pair->a), 0, LEARN_BYTES);
	do {
		CHECK(test_now_ns() < end);
		CHECK_STATUS(tcpx_xfer_post(pair->a->s, xfer, NULL), TCPX_OK);
		CHECK_STATUS(pair_wait(pair, pair->a, xfer, scale_ms(8000)),
			     TCPX_OK);
	} while (count_small(cut, &cut->ctl, &n_all) != 1 ||
		 n_all != n_flows + 1);
	CHECK_STATUS(tcpx_xfer_release(pair->a->s, xfer), TCPX_OK);
	CHECK_STATUS(tcpx_mem_deregister(pair->a->s, local), TCPX_OK);
	CHECK_STATUS(tcpx_mem_deregister(pair->b->s, owned), TCPX_OK);
	region_fini(&src);
	region_fini(&dst);
	learn_flows(cut);
}

static bool cut_any(struct cut *cut, enum which which, uint64_t *seed)
{
	struct sockaddr none = {.sa_family = AF_UNSPEC};
	struct end ends[FDS_MAX];
	int fds[FDS_MAX];
	size_t n = pin_all(cut, which, fds, ends);
	int victim = n ? fds[check_rand(seed) % n] : -1;

	/* The first way the other end gets a reset, the second way an end of
	 * the stream, in the middle of a chunk or between two. */
	if (n && check_rand(seed) % 2)
		connect(victim, &none, sizeof(none));
	else if (n)
		shutdown(victim, SHUT_RDWR);
	for (size_t i = 0; i < n; i++)
		close(fds[i]);
	return n > 0;
}

bool cut_one(struct cut *cut, uint64_t *seed)
{
	return cut_any(cut, BUT_CONTROL, seed);
}

bool cut_control(struct cut *cut, uint64_t *seed)
{
	return cut_any(cut, BUT_FLOWS, seed);
}
