/* SPDX-License-Identifier: Apache-2.0 */
#include "topo/nic_rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tcpx/status.h>

#include "base/item.h"
#include "base/text.h"

/* One name of a list; a prefix if a * stood behind it. */
struct pattern {
	struct item name;
	bool prefix;
};

bool nic_is_container_bridge(const char *ifname)
{
	static const char *const prefixes[] = {
		"docker", "virbr",   "cni",	     "podman", "lxcbr",
		"lxdbr",  "nerdctl", "flannel",	     "cali",   "cilium",
		"weave",  "kube-",   "nodelocaldns", "tunl0",
	};

	for (size_t i = 0; i < sizeof(prefixes) / sizeof(*prefixes); i++) {
		if (strncmp(ifname, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	}
	/* Docker's own networks; "br-data" is somebody's choice. */
	return strncmp(ifname, "br-", 3) == 0 &&
	       strspn(ifname + 3, "0123456789abcdef") == 12 &&
	       ifname[15] == '\0';
}

static bool next_pattern(const char **list, struct pattern *pattern)
{
	struct item *name = &pattern->name;

	if (!item_next(list, name))
		return false;
	pattern->prefix = name->text[name->len_bytes - 1] == '*';
	if (pattern->prefix)
		name->len_bytes--;
	return true;
}

static bool matches(const struct pattern *pattern, const char *ifname)
{
	const struct item *name = &pattern->name;

	if (!pattern->prefix)
		return item_is(name, ifname);
	return strncmp(ifname, name->text, name->len_bytes) == 0;
}

static bool listed(const char *list, const char *ifname)
{
	struct pattern pattern;

	while (next_pattern(&list, &pattern)) {
		if (matches(&pattern, ifname))
			return true;
	}
	return false;
}

static const char *fault(const struct nic_seen *seen)
{
	if (!seen->up)
		return "is down";
	return seen->has_addr ? NULL : "has no address";
}

static void add(struct nic nics[NICS_MAX], uint32_t *n, const struct nic *nic)
{
	for (uint32_t i = 0; i < *n; i++) {
		if (nics[i].ifindex == nic->ifindex)
			return; /* named twice */
	}
	if (*n < NICS_MAX)
		nics[(*n)++] = *nic;
}

static void add_existing(struct text *why, const struct nic_seen *seen,
			 uint32_t n_seen)
{
	text_add(why, "; there is");
	for (uint32_t i = 0; i < n_seen; i++) {
		const char *what = fault(&seen[i]);

		text_add(why, "%s %s%s%s%s", i ? "," : "", seen[i].nic.ifname,
			 what ? " (" : "", what ? what : "", what ? ")" : "");
	}
	if (n_seen == 0)
		text_add(why, " none");
}

/* All that this name means. Returns what is wrong if it means nothing. */
static const char *take_all(const struct pattern *pattern,
			    const struct nic_seen *seen, uint32_t n_seen,
			    struct nic nics[NICS_MAX], uint32_t *n)
{
	const char *wrong = pattern->prefix ? "matches no interface" :
					      "does not exist";
	bool found = false;

	for (uint32_t i = 0; i < n_seen; i++) {
		if (!matches(pattern, seen[i].nic.ifname))
			continue;
		if (fault(&seen[i])) {
			wrong = fault(&seen[i]);
			continue;
		}
		add(nics, n, &seen[i].nic);
		found = true;
	}
	return found ? NULL : wrong;
}

static int take_listed(const struct nic_seen *seen, uint32_t n_seen,
		       const char *list, struct nic nics[NICS_MAX], uint32_t *n,
		       struct text *why)
{
	const char *wrong;
	struct pattern pattern;

	while (next_pattern(&list, &pattern)) {
		wrong = take_all(&pattern, seen, n_seen, nics, n);
		if (!wrong)
			continue;
		text_add(why, "interface %.*s%s %s",
			 (int)pattern.name.len_bytes, pattern.name.text,
			 pattern.prefix ? "*" : "", wrong);
		add_existing(why, seen, n_seen);
		return TCPX_EUNREACHABLE;
	}
	return 0;
}

/* How much an interface is to be preferred when nobody named it. */
static int rank(const struct nic_seen *seen)
{
	if (seen->loopback)
		return 0;
	return nic_is_container_bridge(seen->nic.ifname) ? 1 : 2;
}

/* All of the best rank there is. */
static void take_best(const struct nic_seen *seen, uint32_t n_seen,
		      const char *left_out, struct nic nics[NICS_MAX],
		      uint32_t *n)
{
	for (int best = 2; best >= 0 && *n == 0; best--) {
		for (uint32_t i = 0; i < n_seen; i++) {
			if (!fault(&seen[i]) && rank(&seen[i]) == best &&
			    !listed(left_out, seen[i].nic.ifname))
				add(nics, n, &seen[i].nic);
		}
	}
}

int nic_select(const struct nic_seen *seen, uint32_t n_seen,
	       const char *ifnames, struct nic nics[NICS_MAX], uint32_t *n_nics,
	       char *why, size_t cap_bytes)
{
	const char *list = ifnames ? ifnames : "", *first;
	uint32_t n = 0;
	struct text text;
	struct item item;
	int err = 0;

	text_init(&text, why, cap_bytes);
	list += strspn(list, " \t");
	first = list;
	if (*list == '^')
		take_best(seen, n_seen, list + 1, nics, &n);
	else if (item_next(&first, &item))
		err = take_listed(seen, n_seen, list, nics, &n, &text);
	else
		take_best(seen, n_seen, "", nics, &n);
	if (err)
		return err;
	if (n == 0) {
		text_add(&text, "no usable interface%s",
			 *list == '^' ? " is left" : "");
		add_existing(&text, seen, n_seen);
		return TCPX_EUNREACHABLE;
	}
	*n_nics = n;
	return 0;
}
