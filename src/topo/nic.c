/* SPDX-License-Identifier: Apache-2.0 */
#include "topo/nic.h"

#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <limits.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tcpx/status.h>
#include <unistd.h>

#include "topo/nic_rules.h"

#define CLASS_NET "/sys/class/net"
/* Hosts of many containers have hundreds, of which few are for us. */
#define SEEN_MAX 1024

/* ---- sysfs ------------------------------------------------------------- */

/* A whole number from a small file, or `otherwise`. */
static long long read_number(const char *path, long long otherwise)
{
	char text[32], *end;
	ssize_t n;
	long long value;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return otherwise;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return otherwise;
	text[n] = '\0';
	value = strtoll(text, &end, 10);
	return end == text ? otherwise : value;
}

/* "0000:00:04.0" */
static bool is_pci_address(const char *name)
{
	unsigned domain, bus, device, function;
	int end = 0;

	return sscanf(name, "%4x:%2x:%2x.%1x%n", &domain, &bus, &device,
		      &function, &end) == 4 &&
	       end == 12 && name[end] == '\0';
}

/* The device may be a child (virtio1) of the PCI device: cut path back to the
 * last part that is one. False: it is no PCI device at all. */
static bool cut_to_pci(char *path)
{
	char *slash;

	while ((slash = strrchr(path, '/'))) {
		if (is_pci_address(slash + 1))
			return true;
		*slash = '\0';
	}
	return false;
}

static void read_device(const char *class_net, struct nic *nic)
{
	char path[PATH_MAX], device[PATH_MAX], file[PATH_MAX + 16];

	snprintf(path, sizeof(path), "%s/%s/device", class_net, nic->ifname);
	if (!realpath(path, device) || !cut_to_pci(device))
		return;
	snprintf(nic->pci, sizeof(nic->pci), "%.12s", strrchr(device, '/') + 1);
	snprintf(file, sizeof(file), "%s/numa_node", device);
	nic->numa_node = (int32_t)read_number(file, -1);
}

void nic_read_sysfs(const char *class_net, struct nic *nic)
{
	char path[PATH_MAX];
	long long value;

	snprintf(path, sizeof(path), "%s/%s/speed", class_net, nic->ifname);
	value = read_number(path, -1);
	/* -1, also as an unsigned number, is how drivers say "unknown". */
	nic->speed_mbps = value > 0 && value < INT_MAX ? (uint32_t)value : 0;
	snprintf(path, sizeof(path), "%s/%s/mtu", class_net, nic->ifname);
	value = read_number(path, 0);
	nic->mtu_bytes = value > 0 && value < INT_MAX ? (uint32_t)value : 0;
	nic->numa_node = -1;
	nic->pci[0] = '\0';
	read_device(class_net, nic);
}

/* ---- interfaces -------------------------------------------------------- */

static struct nic_seen *find(struct nic_seen *seen, uint32_t *n_seen,
			     const struct ifaddrs *ifa)
{
	char ifname[IFNAMSIZ];
	struct nic_seen *new;

	/* The label of a second address, "eth0:1", is no other interface. */
	snprintf(ifname, sizeof(ifname), "%.*s",
		 (int)strcspn(ifa->ifa_name, ":"), ifa->ifa_name);
	for (uint32_t i = 0; i < *n_seen; i++) {
		if (strcmp(seen[i].nic.ifname, ifname) == 0)
			return &seen[i];
	}
	if (*n_seen == SEEN_MAX)
		return NULL;
	new = &seen[(*n_seen)++];
	memset(new, 0, sizeof(*new));
	memcpy(new->nic.ifname, ifname, sizeof(ifname));
	new->nic.ifindex = if_nametoindex(ifname);
	new->nic.numa_node = -1;
	new->up = (ifa->ifa_flags & IFF_UP) && (ifa->ifa_flags & IFF_RUNNING);
	new->loopback = ifa->ifa_flags &IFF_LOOPBACK;
	return new;
}

/* An address by which others can reach us, without knowing the link. */
static bool is_global(const struct sockaddr *sa)
{
	const struct sockaddr_in *in = (const void *)sa;
	const struct sockaddr_in6 *in6 = (const void *)sa;

	if (sa->sa_family == AF_INET)
		return ntohl(in->sin_addr.s_addr) >> 16 != 0xa9fe; /* 169.254 */
	return sa->sa_family == AF_INET6 &&
	       !IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr);
}

static uint32_t prefix_of(const struct sockaddr *mask, sa_family_t family)
{
	const uint8_t *bytes =
		family == AF_INET ?
			(const uint8_t *)&((const struct sockaddr_in *)mask)
				->sin_addr :
			(const uint8_t *)&((const struct sockaddr_in6 *)mask)
				->sin6_addr;
	uint32_t n = family == AF_INET ? 4 : 16, bits = 0;

	while (bits < 8 * n && bytes[bits / 8] & 0x80 >> bits % 8)
		bits++;
	return bits;
}

static void take_address(struct nic_seen *seen, const struct ifaddrs *ifa)
{
	const struct sockaddr *sa = ifa->ifa_addr;
	bool better = !seen->has_addr ||
		      (sa->sa_family == AF_INET &&
		       seen->nic.addr.sa.sa_family == AF_INET6);

	if (!is_global(sa) || !better)
		return;
	memset(&seen->nic.addr, 0, sizeof(seen->nic.addr));
	memcpy(&seen->nic.addr, sa,
	       sa->sa_family == AF_INET ? sizeof(struct sockaddr_in) :
					  sizeof(struct sockaddr_in6));
	seen->nic.prefix_bits =
		ifa->ifa_netmask ? prefix_of(ifa->ifa_netmask, sa->sa_family) :
				   0;
	seen->has_addr = true;
}

static int by_index(const void *a, const void *b)
{
	const struct nic_seen *x = a, *y = b;

	return (x->nic.ifindex > y->nic.ifindex) -
	       (x->nic.ifindex < y->nic.ifindex);
}

/* *n_seen interfaces, in memory of the caller's to free. 0 or -errno. */
static int look_around(struct nic_seen **seen, uint32_t *n_seen)
{
	struct nic_seen *found, *one;
	struct ifaddrs *list;
	uint32_t n = 0;

	if (getifaddrs(&list) < 0)
		return -errno;
	found = malloc(SEEN_MAX * sizeof(*found));
	if (!found) {
		freeifaddrs(list);
		return -ENOMEM;
	}
	for (const struct ifaddrs *ifa = list; ifa; ifa = ifa->ifa_next) {
		one = find(found, &n, ifa);
		if (one && ifa->ifa_addr)
			take_address(one, ifa);
	}
	freeifaddrs(list);
	qsort(found, n, sizeof(*found), by_index);
	*seen = found;
	*n_seen = n;
	return 0;
}

static int list_status(int err)
{
	switch (err) {
	case -EMFILE:
	case -ENFILE:
		return TCPX_ENFILE;
	case -ENOMEM:
	case -ENOBUFS:
		return TCPX_ENOMEM;
	default:
		return TCPX_EUNREACHABLE;
	}
}

int nic_list(const char *ifnames, struct nic nics[NICS_MAX], uint32_t *n_nics,
	     char *why, size_t cap_bytes)
{
	struct nic_seen *seen = NULL;
	uint32_t n_seen = 0;
	int err = look_around(&seen, &n_seen);

	if (err) {
		snprintf(why, cap_bytes, "interfaces cannot be listed: %s",
			 strerrordesc_np(-err));
		return list_status(err);
	}
	err = nic_select(seen, n_seen, ifnames, nics, n_nics, why, cap_bytes);
	free(seen);
	if (err)
		return err;
	for (uint32_t i = 0; i < *n_nics; i++)
		nic_read_sysfs(CLASS_NET, &nics[i]);
	return 0;
}
