/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BOOT_END_H
#define BOOT_END_H

/* Sessions' boots over real loopback sockets, driven by the test's thread:
 * what the boot tests share. */

#include <errno.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/log.h"
#include "boot/auth.h"
#include "boot/boot.h"
#include "check.h"

struct end {
	struct boot *boot;
	struct boot_params params;
	struct log log;
	struct wire_rail rail;
	uint32_t n_admits, n_accepted, n_dropped, n_connected, n_lines;
	uint32_t n_met;
	int admit_status, met_status;
	int status; /* of the last connected() */
	uint64_t cookie;
	char cause[256];
	char line[512]; /* the last logged */
	struct boot_result in, out; /* the last accepted and connected */
};

static inline void log_line(void *arg, enum tcpx_log_level level,
			    const char *subsystem, const char *line)
{
	struct end *end = arg;

	if (level > TCPX_LOG_WARN)
		return;
	end->n_lines++;
	snprintf(end->line, sizeof(end->line), "%s", line);
}

static inline int admit(void *arg, const struct boot_result *result,
			uint64_t *token, char *why, size_t cap_bytes)
{
	struct end *end = arg;

	CHECK(result->incoming);
	CHECK(addr_port(&result->remote) != 0);
	CHECK_EQ(addr_port(&result->local), boot_port(end->boot));
	end->n_admits++;
	*token = 1000 + end->n_admits;
	snprintf(why, cap_bytes, "not you");
	return end->admit_status;
}

static inline void accepted(void *arg, const struct boot_result *result)
{
	struct end *end = arg;

	if (end->n_accepted++ > 0)
		close(end->in.fd);
	end->in = *result;
}

static inline void dropped(void *arg, const struct boot_result *result)
{
	((struct end *)arg)->n_dropped++;
}

static inline void connected(void *arg, uint64_t cookie, int status,
			     const char *cause,
			     const struct boot_result *result)
{
	struct end *end = arg;

	CHECK_EQ(status == 0, result != NULL);
	end->n_connected++;
	end->cookie = cookie;
	end->status = status;
	snprintf(end->cause, sizeof(end->cause), "%s", cause);
	if (end->out.fd > 0)
		close(end->out.fd);
	end->out.fd = -1;
	if (result)
		end->out = *result;
}

static inline int met(void *arg, uint64_t cookie,
		      const struct boot_result *result)
{
	struct end *end = arg;

	CHECK(result->purpose != HELLO_FLOW);
	CHECK(result->name[0]);
	end->n_met++;
	end->cookie = cookie;
	return end->met_status;
}

static const struct boot_ops ops = {admit, accepted, dropped, connected, met};

static inline void prepare(struct end *end, const char *name)
{
	memset(end, 0, sizeof(*end));
	end->log = (struct log){
		.fn = log_line, .arg = end, .level = TCPX_LOG_DEBUG};
	snprintf(end->rail.ifname, sizeof(end->rail.ifname), "lo");
	CHECK_EQ(addr_parse("127.0.0.1", &end->rail.addr), 0);
	end->params = (struct boot_params){
		.log = &end->log,
		.name = name,
		.transports = "socket",
		.rails = &end->rail,
		.n_rails = 1,
		.max_half_open = 64,
		.timeout_ms = 5000,
		.limits = {.chunk_bytes = 1u << 19, .window_chunks = 8},
	};
	CHECK_EQ(auth_init(), 0);
	auth_random(end->params.session, SESSION_ID_BYTES);
	auth_random(end->params.secret, SECRET_BYTES);
}

static inline void open_end(struct end *end)
{
	CHECK_STATUS(boot_open(&end->params, &ops, end, &end->boot), 0);
}

static inline void close_end(struct end *end)
{
	boot_close(end->boot);
	if (end->in.fd > 0)
		close(end->in.fd);
	if (end->out.fd > 0)
		close(end->out.fd);
}

static inline struct boot_target target_of(const struct end *end)
{
	struct boot_target target = {
		.purpose = HELLO_CONTROL,
		.key = HELLO_KEY_BLOB,
	};

	memcpy(target.secret, end->params.secret, SECRET_BYTES);
	memcpy(target.session, end->params.session, SESSION_ID_BYTES);
	CHECK_EQ(addr_parse("127.0.0.1", &target.addr), 0);
	addr_set_port(&target.addr, boot_port(end->boot));
	return target;
}

/* Rounds of both until *n has reached want. */
static inline void drive(struct end *a, struct end *b, const uint32_t *n,
			 uint32_t want)
{
	while (*n < want) {
		boot_run(a->boot, 2);
		if (b)
			boot_run(b->boot, 2);
	}
}

static inline void pair_up(struct end *a, struct end *b)
{
	prepare(a, "anna");
	prepare(b, "berta");
	open_end(a);
	open_end(b);
}

static inline int raw_connect(const struct end *end)
{
	struct net_addr to;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK_EQ(addr_parse("127.0.0.1", &to), 0);
	addr_set_port(&to, boot_port(end->boot));
	CHECK(fd >= 0);
	CHECK_EQ(connect(fd, &to.sa, addr_len(&to)), 0);
	return fd;
}

static inline void want_fds(rlim_t n)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur >= n)
		return;
	limit.rlim_cur = n;
	if (limit.rlim_max < n)
		limit.rlim_max = n;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		SKIP("too few descriptors allowed");
}

#endif
