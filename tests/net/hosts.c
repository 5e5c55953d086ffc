/* SPDX-License-Identifier: Apache-2.0 */
#include "net/hosts.h"

#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <sys/prctl.h>

#include "check.h"
#include "support/scale.h"

static bool can_unshare(void)
{
	int status = -1;
	pid_t pid = fork();

	if (!pid)
		_exit(unshare(CLONE_NEWNET) ? 1 : 0);
	return pid > 0 && waitpid(pid, &status, 0) == pid && !status;
}

void hosts_need_root(void)
{
	if (!can_unshare())
		SKIP("network namespaces need root");
	if (access("/dev/net/tun", R_OK | W_OK))
		SKIP("no /dev/net/tun");
	if (system("ip -V >/dev/null 2>&1") || system("nft -v >/dev/null 2>&1"))
		SKIP("needs iproute2 and nftables");
}

void host_create(struct host *host)
{
	int ready[2];
	char byte;

	CHECK(!pipe2(ready, O_CLOEXEC));
	host->pid = fork();
	CHECK(host->pid >= 0);
	if (!host->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (unshare(CLONE_NEWNET) || write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	CHECK_EQ(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	snprintf(host->netns, sizeof(host->netns), "/proc/%d/ns/net",
		 host->pid);
	host_run(host, "ip link set lo up");
}

void host_destroy(struct host *host)
{
	kill(host->pid, SIGKILL);
	waitpid(host->pid, NULL, 0);
}

void host_enter(struct host *host)
{
	int fd = open(host->netns, O_RDONLY | O_CLOEXEC);

	CHECK(fd >= 0 && !setns(fd, CLONE_NEWNET));
	close(fd);
}

static int run_in(struct host *host, const char *fmt, va_list args)
{
	char command[2048];
	int status = -1;
	pid_t pid;

	vsnprintf(command, sizeof(command), fmt, args);
	pid = fork();
	if (!pid) {
		alarm(20);
		host_enter(host);
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
	if (status)
		fprintf(stderr, "failed: %s\n", command);
	return status;
}

int host_try(struct host *host, const char *fmt, ...)
{
	va_list args;
	int status;

	va_start(args, fmt);
	status = run_in(host, fmt, args);
	va_end(args);
	return status;
}

void host_run(struct host *host, const char *fmt, ...)
{
	va_list args;
	int status;

	va_start(args, fmt);
	status = run_in(host, fmt, args);
	va_end(args);
	CHECK_EQ(status, 0);
}

static void add_address(struct host *host, const char *dev, const char *addr)
{
	host_run(host, "ip addr add %s dev %s %s && ip link set %s up", addr,
		 dev, strchr(addr, ':') ? "nodad" : "", dev);
}

/* The kernel tells that the cable is in a moment later. */
static void wait_up(struct host *host, const char *dev)
{
	host_run(host,
		 "for i in $(seq 300); do ip link show dev %s | "
		 "grep -q 'state UP' && exit 0; sleep 0.01; done; exit 1",
		 dev);
}

void hosts_link(struct host *a, struct host *b, const char *dev,
		const char *addr_a, const char *addr_b)
{
	host_run(a, "ip link add %s type veth peer name %s netns %d", dev, dev,
		 b->pid);
	add_address(a, dev, addr_a);
	add_address(b, dev, addr_b);
	wait_up(a, dev);
	wait_up(b, dev);
}

uint64_t device_tx_bytes(const char *dev)
{
	FILE *f = fopen("/proc/self/net/dev", "r");
	unsigned long long column[9];
	char line[512], name[32];
	uint64_t found = UINT64_MAX;

	CHECK(f);
	while (fgets(line, sizeof(line), f)) {
		char *colon = strchr(line, ':');

		if (!colon)
			continue;
		*colon = 0;
		if (sscanf(line, " %31s", name) != 1 || strcmp(name, dev))
			continue;
		CHECK_EQ(sscanf(colon + 1,
				"%llu %llu %llu %llu %llu %llu %llu %llu %llu",
				&column[0], &column[1], &column[2], &column[3],
				&column[4], &column[5], &column[6], &column[7],
				&column[8]),
			 9);
		found = column[8];
	}
	fclose(f);
	CHECK(found != UINT64_MAX);
	return found;
}

/* Two lines each, the first with the names and the second with the numbers of
 * what begins alike. UINT64_MAX: it is not in this file. */
static uint64_t counter_in(const char *path, const char *name)
{
	char names[8192], numbers[8192];
	uint64_t found = UINT64_MAX;
	FILE *f = fopen(path, "r");

	CHECK(f);
	while (found == UINT64_MAX && fgets(names, sizeof(names), f) &&
	       fgets(numbers, sizeof(numbers), f)) {
		char *left = names, *right = numbers, *one;

		while ((one = strsep(&left, " \n")) && right) {
			const char *number = strsep(&right, " \n");

			if (!strcmp(one, name))
				found = strtoull(number, NULL, 10);
		}
	}
	fclose(f);
	return found;
}

uint64_t host_counter(const char *name)
{
	uint64_t n = counter_in("/proc/self/net/snmp", name);

	if (n == UINT64_MAX)
		n = counter_in("/proc/self/net/netstat", name);
	if (n == UINT64_MAX)
		check_fail(CHECK_AT, "the kernel does not count %s", name);
	return n;
}

void relay_start(struct proc *relay, struct host *a, struct host *b,
		 const char *addr_a, const char *addr_b,
		 const char *const extra[])
{
	char path[4096], spec_a[160], spec_b[160];
	const char *argv[32] = {path, "--a", spec_a, "--b", spec_b};
	const char *line;
	size_t n = 5;

	snprintf(path, sizeof(path), "%s", proc_path("TEST_RELAY", "relay"));
	snprintf(spec_a, sizeof(spec_a), "%s,wan0,%s", a->netns, addr_a);
	snprintf(spec_b, sizeof(spec_b), "%s,wan0,%s", b->netns, addr_b);
	for (; extra && *extra; extra++) {
		CHECK(n < 31);
		argv[n++] = *extra;
	}
	proc_start(relay, NULL, NULL, argv);
	line = proc_line(relay, scale_ms(5000));
	CHECK(line);
	CHECK_STR(line, "ready");
}
