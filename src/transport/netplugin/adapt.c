/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/netplugin/adapt.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_pci(const char *part, size_t len)
{
	unsigned domain, bus, device, function;
	int end = 0;

	return len == 12 &&
	       sscanf(part, "%4x:%2x:%2x.%1x%n", &domain, &bus, &device,
		      &function, &end) == 4 &&
	       end == 12;
}

static bool last_pci(const char *path, char pci[16])
{
	bool found = false;

	for (const char *at = path; *at;) {
		size_t len = strcspn(at, "/");

		if (is_pci(at, len)) {
			snprintf(pci, 16, "%.12s", at);
			found = true;
		}
		at += len;
		at += strspn(at, "/");
	}
	return found;
}

void adapt_pci(const char *path, char pci[16])
{
	char real[PATH_MAX];

	pci[0] = '\0';
	if (!path || last_pci(path, pci) || !realpath(path, real))
		return;
	last_pci(real, pci);
}

void adapt_name(const char *name, char to[PLUGIN_NAME_MAX])
{
	snprintf(to, PLUGIN_NAME_MAX, "%s", name ? name : "?");
}
