/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "relay.h"

static int enter_netns(const char *netns)
{
	char path[256];
	int fd, rc;

	if (!strcmp(netns, "-"))
		return 0;
	if (strchr(netns, '/'))
		snprintf(path, sizeof(path), "%s", netns);
	else
		snprintf(path, sizeof(path), "/run/netns/%s", netns);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		fprintf(stderr, "relay: netns %s: %m\n", path);
		return -1;
	}
	rc = setns(fd, CLONE_NEWNET);
	if (rc)
		fprintf(stderr, "relay: setns %s: %m\n", path);
	close(fd);
	return rc;
}

static int open_tun(const char *dev)
{
	struct ifreq request;
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0) {
		fprintf(stderr, "relay: /dev/net/tun: %m\n");
		return -1;
	}
	memset(&request, 0, sizeof(request));
	request.ifr_flags = IFF_TUN | IFF_NO_PI;
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", dev);
	if (!ioctl(fd, TUNSETIFF, &request))
		return fd;
	fprintf(stderr, "relay: device %s: %m\n", dev);
	close(fd);
	return -1;
}

/* Runs ip(8) in the namespace the thread is in now. */
static int run_ip(const char *const argv[])
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		execvp("ip", (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status) {
		fprintf(stderr, "relay: ip %s %s failed\n", argv[1], argv[2]);
		return -1;
	}
	return 0;
}

static int bring_up(const char *dev, char *addresses, unsigned int mtu)
{
	char mtu_text[16];
	char *rest = addresses;
	const char *up[] = {"ip",     "link",	    "set",   "dev", dev, "mtu",
			    mtu_text, "txqueuelen", "10000", "up",  NULL};

	snprintf(mtu_text, sizeof(mtu_text), "%u", mtu);
	if (run_ip(up))
		return -1;
	for (char *addr; (addr = strtok_r(rest, ",", &rest));) {
		const char *add[] = {"ip",  "addr", "add", addr,
				     "dev", dev,    NULL,  NULL};

		/* Duplicate detection would keep it unusable for a second. */
		if (strchr(addr, ':'))
			add[6] = "nodad";
		if (run_ip(add))
			return -1;
	}
	return 0;
}

int tun_create(const char *spec, unsigned int mtu)
{
	char text[512];
	char *rest = text, *netns, *dev;
	int home, fd = -1;

	snprintf(text, sizeof(text), "%s", spec);
	netns = strtok_r(rest, ",", &rest);
	dev = strtok_r(rest, ",", &rest);
	if (!netns || !dev || !*rest) {
		fprintf(stderr, "relay: %s: want NETNS,DEV,ADDR/LEN\n", spec);
		return -1;
	}
	home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (home < 0)
		return -1;
	if (!enter_netns(netns))
		fd = open_tun(dev);
	if (fd >= 0 && bring_up(dev, rest, mtu)) {
		close(fd);
		fd = -1;
	}
	if (setns(home, CLONE_NEWNET))
		fprintf(stderr, "relay: cannot go back: %m\n");
	close(home);
	return fd;
}
