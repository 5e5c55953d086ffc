/* SPDX-License-Identifier: Apache-2.0 */
#include "nic.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf.h"

static struct nic nics[NIC_MAX];
static int n_nics;

/* Does the comma list say name? "=" at its front: whole names. */
static bool in_list(const char *list, const char *name, bool whole)
{
	for (const char *at = list; *at;) {
		size_t len = strcspn(at, ",");

		if (len > 0 && strncmp(at, name, len) == 0 &&
		    (!whole || !name[len]))
			return true;
		at += len;
		at += *at == ',';
	}
	return false;
}

static bool is_chosen(const char *name, bool made_up)
{
	const char *list = conf_get()->ifname;
	bool others = list && *list == '^';
	bool whole;

	if (!list)
		return made_up || (strncmp(name, "docker", 6) != 0 &&
				   strcmp(name, "lo") != 0);
	list += others;
	whole = *list == '=';
	return in_list(list + whole, name, whole) != others;
}

static int read_speed(const char *name)
{
	char path[64];
	int mbps = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/class/net/%s/speed", name);
	file = fopen(path, "re");
	if (file) {
		if (fscanf(file, "%d", &mbps) != 1)
			mbps = 0;
		fclose(file);
	}
	return mbps > 0 ? mbps : 10000;
}

static void add(const char *name, struct in_addr addr, char *pci_path)
{
	struct nic *nic = &nics[n_nics];

	if (n_nics == NIC_MAX || strlen(name) >= NIC_NAME_BYTES) {
		free(pci_path);
		return;
	}
	snprintf(nic->name, sizeof(nic->name), "%s", name);
	nic->addr = addr;
	nic->pci_path = pci_path;
	nic->speed_mbps = read_speed(name);
	n_nics++;
}

/* "name=address" or "name=address@pci path" */
static void add_made_up(char *item)
{
	char *addr_text = strchr(item, '=');
	char *pci;
	struct in_addr addr;

	if (!addr_text)
		return;
	*addr_text++ = '\0';
	pci = strchr(addr_text, '@');
	if (pci)
		*pci++ = '\0';
	if (inet_pton(AF_INET, addr_text, &addr) == 1 && is_chosen(item, true))
		add(item, addr, pci ? strdup(pci) : NULL);
}

static char *real_pci_path(const char *name)
{
	char link[64];

	snprintf(link, sizeof(link), "/sys/class/net/%s/device", name);
	return realpath(link, NULL);
}

static void find_real(void)
{
	struct ifaddrs *list;

	if (getifaddrs(&list) < 0)
		return;
	for (struct ifaddrs *at = list; at; at = at->ifa_next) {
		if (at->ifa_addr && at->ifa_addr->sa_family == AF_INET &&
		    (at->ifa_flags & IFF_UP) && is_chosen(at->ifa_name, false))
			add(at->ifa_name,
			    ((struct sockaddr_in *)at->ifa_addr)->sin_addr,
			    real_pci_path(at->ifa_name));
	}
	freeifaddrs(list);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct nic *)a)->name,
		      ((const struct nic *)b)->name);
}

int nic_find(void)
{
	const char *made_up = conf_get()->nics;
	char *copy, *item, *rest;

	if (!made_up) {
		find_real();
	} else {
		copy = rest = strdup(made_up);
		while (copy && (item = strsep(&rest, ",")) != NULL)
			add_made_up(item);
		free(copy);
	}
	qsort(nics, (size_t)n_nics, sizeof(*nics), by_name);
	return n_nics;
}

int nic_count(void)
{
	return n_nics;
}

const struct nic *nic_get(int dev)
{
	return &nics[dev];
}

static bool address_of(const char *name, struct in_addr *addr)
{
	struct ifaddrs *list;
	bool found = false;

	for (int i = 0; i < n_nics && !found; i++) {
		found = strcmp(nics[i].name, name) == 0;
		if (found)
			*addr = nics[i].addr;
	}
	if (found || getifaddrs(&list) < 0)
		return found;
	for (struct ifaddrs *at = list; at && !found; at = at->ifa_next) {
		found = at->ifa_addr && at->ifa_addr->sa_family == AF_INET &&
			strcmp(at->ifa_name, name) == 0;
		if (found)
			*addr = ((struct sockaddr_in *)at->ifa_addr)->sin_addr;
	}
	freeifaddrs(list);
	return found;
}

struct in_addr nic_control(int dev)
{
	const char *name = conf_get()->ctrl_dev;
	struct in_addr addr = {0};

	if (!name)
		return nics[dev].addr;
	address_of(name, &addr);
	return addr;
}

bool nic_is_home(int dev, int gpu)
{
	const char *at = conf_get()->home;
	const char *name = nics[dev].name;

	while (at && *at) {
		char *end;
		long index = strtol(at, &end, 10);
		size_t len = strcspn(end, ",");

		if (end != at && *end == ':' && index == gpu)
			return len - 1 == strlen(name) &&
			       strncmp(end + 1, name, len - 1) == 0;
		at = end + len;
		at += *at == ',';
	}
	return true;
}

bool nic_is_local(struct in_addr addr)
{
	struct ifaddrs *list;
	bool local = ntohl(addr.s_addr) >> 24 == 127;

	if (local || getifaddrs(&list) < 0)
		return local;
	for (struct ifaddrs *at = list; at && !local; at = at->ifa_next) {
		local = at->ifa_addr && at->ifa_addr->sa_family == AF_INET &&
			((struct sockaddr_in *)at->ifa_addr)->sin_addr.s_addr ==
				addr.s_addr;
	}
	freeifaddrs(list);
	return local;
}
