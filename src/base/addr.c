/* SPDX-License-Identifier: Apache-2.0 */
#include "base/addr.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tcpx/status.h>

/* "[", address, "%", interface, "]" and the NUL, which INET6_ADDRSTRLEN
 * includes. */
#define HOST_TEXT_MAX (INET6_ADDRSTRLEN + 1 + IF_NAMESIZE + 2)

static void scope_text(uint32_t scope, char to[IF_NAMESIZE + 1])
{
	char name[IF_NAMESIZE];

	to[0] = '\0';
	if (scope == 0)
		return;
	if (if_indextoname(scope, name))
		snprintf(to, IF_NAMESIZE + 1, "%%%s", name);
	else
		snprintf(to, IF_NAMESIZE + 1, "%%%u", scope);
}

void addr_host_text(const struct net_addr *addr, char *to)
{
	char host[INET6_ADDRSTRLEN], scope[IF_NAMESIZE + 1];

	if (addr->sa.sa_family == AF_INET) {
		inet_ntop(AF_INET, &addr->in.sin_addr, to, ADDR_TEXT_MAX);
	} else if (addr->sa.sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &addr->in6.sin6_addr, host, sizeof(host));
		scope_text(addr->in6.sin6_scope_id, scope);
		snprintf(to, ADDR_TEXT_MAX, "%s%s", host, scope);
	} else {
		*to = '\0';
	}
}

void addr_text(const struct net_addr *addr, char *to)
{
	char host[ADDR_TEXT_MAX];

	addr_host_text(addr, host);
	if (*host)
		addr_join(host, addr_port(addr), to, ADDR_TEXT_MAX);
	else
		snprintf(to, ADDR_TEXT_MAX, "(no address)");
}

socklen_t addr_len(const struct net_addr *addr)
{
	switch (addr->sa.sa_family) {
	case AF_INET:
		return sizeof(addr->in);
	case AF_INET6:
		return sizeof(addr->in6);
	default:
		return 0;
	}
}

uint16_t addr_port(const struct net_addr *addr)
{
	switch (addr->sa.sa_family) {
	case AF_INET:
		return ntohs(addr->in.sin_port);
	case AF_INET6:
		return ntohs(addr->in6.sin6_port);
	default:
		return 0;
	}
}

void addr_set_port(struct net_addr *addr, uint16_t port)
{
	if (addr->sa.sa_family == AF_INET)
		addr->in.sin_port = htons(port);
	else if (addr->sa.sa_family == AF_INET6)
		addr->in6.sin6_port = htons(port);
}

bool addr_equal(const struct net_addr *a, const struct net_addr *b)
{
	if (a->sa.sa_family != b->sa.sa_family || addr_port(a) != addr_port(b))
		return false;
	if (a->sa.sa_family == AF_INET)
		return a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
	if (a->sa.sa_family == AF_INET6)
		return a->in6.sin6_scope_id == b->in6.sin6_scope_id &&
		       memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, 16) == 0;
	return true;
}

bool addr_is_any(const struct net_addr *addr)
{
	if (addr->sa.sa_family == AF_INET)
		return addr->in.sin_addr.s_addr == htonl(INADDR_ANY);
	if (addr->sa.sa_family == AF_INET6)
		return IN6_IS_ADDR_UNSPECIFIED(&addr->in6.sin6_addr);
	return false;
}

/* Decimal digits only, all of text: no sign, no space. */
static int parse_number(const char *text, uint32_t max, uint32_t *number)
{
	uint64_t v = 0;

	if (!*text)
		return TCPX_EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return TCPX_EINVAL;
		v = v * 10 + (uint64_t)(*text - '0');
		if (v > max)
			return TCPX_EINVAL;
	}
	*number = (uint32_t)v;
	return 0;
}

static int parse_scope(const char *text, uint32_t *scope)
{
	*scope = if_nametoindex(text);
	return *scope ? 0 : parse_number(text, UINT32_MAX, scope);
}

/* host is numeric and has neither brackets nor port; it is taken apart. */
static int parse_host(char *host, struct net_addr *addr)
{
	struct in_addr v4;
	char *scope;

	memset(addr, 0, sizeof(*addr));
	if (inet_pton(AF_INET, host, &v4) == 1) {
		addr->in.sin_family = AF_INET;
		addr->in.sin_addr = v4;
		return 0;
	}
	scope = strchr(host, '%');
	if (scope) {
		*scope++ = '\0';
		if (parse_scope(scope, &addr->in6.sin6_scope_id))
			return TCPX_EINVAL;
	}
	if (inet_pton(AF_INET6, host, &addr->in6.sin6_addr) != 1)
		return TCPX_EINVAL;
	addr->in6.sin6_family = AF_INET6;
	return 0;
}

/* An IPv6 address, whatever interface may follow it. */
static bool is_v6(const char *host, size_t host_bytes)
{
	const char *scope = memchr(host, '%', host_bytes);
	size_t n = scope ? (size_t)(scope - host) : host_bytes;
	char buf[INET6_ADDRSTRLEN];
	struct in6_addr v6;

	if (n >= sizeof(buf) || memchr(host, ']', host_bytes))
		return false;
	memcpy(buf, host, n);
	buf[n] = '\0';
	return inet_pton(AF_INET6, buf, &v6) == 1;
}

/*
 * Where the host is in text (without brackets) and what follows it: the port's
 * digits, or NULL where there is no port. Brackets, and several colons without
 * them, hold an IPv6 address; the latter have no port.
 */
static int split(const char *text, const char **host, size_t *host_bytes,
		 const char **port)
{
	const char *colon = strchr(text, ':');
	const char *close;

	*host = text;
	*port = NULL;
	if (text[0] == '[') {
		close = strchr(text, ']');
		if (!close || (close[1] != '\0' && close[1] != ':'))
			return TCPX_EINVAL;
		*host = text + 1;
		*host_bytes = (size_t)(close - *host);
		*port = close[1] ? close + 2 : NULL;
		return is_v6(*host, *host_bytes) ? 0 : TCPX_EINVAL;
	}
	if (colon && !strchr(colon + 1, ':')) {
		*host_bytes = (size_t)(colon - text);
		*port = colon + 1;
		return *host_bytes > 0 ? 0 : TCPX_EINVAL;
	}
	*host_bytes = strlen(text);
	if (colon && !is_v6(text, *host_bytes))
		return TCPX_EINVAL;
	return *host_bytes > 0 ? 0 : TCPX_EINVAL;
}

int addr_parse(const char *text, struct net_addr *addr)
{
	char buf[HOST_TEXT_MAX];
	const char *host, *port_text;
	struct net_addr got;
	uint32_t port = 0;
	size_t n;

	if (split(text, &host, &n, &port_text) || n >= sizeof(buf))
		return TCPX_EINVAL;
	memcpy(buf, host, n);
	buf[n] = '\0';
	if (parse_host(buf, &got))
		return TCPX_EINVAL;
	if (port_text && parse_number(port_text, UINT16_MAX, &port))
		return TCPX_EINVAL;
	addr_set_port(&got, (uint16_t)port);
	*addr = got;
	return 0;
}

/* One to connect to. */
static int parse_port(const char *text, uint16_t *port)
{
	uint32_t number;

	if (parse_number(text, UINT16_MAX, &number) || number == 0)
		return TCPX_EINVAL;
	*port = (uint16_t)number;
	return 0;
}

int addr_split_port(const char *text, char *host, size_t cap_bytes,
		    uint16_t *port)
{
	const char *from, *port_text;
	size_t n;

	if (split(text, &from, &n, &port_text) || n >= cap_bytes)
		return TCPX_EINVAL;
	if (port_text && parse_port(port_text, port))
		return TCPX_EINVAL;
	memcpy(host, from, n);
	host[n] = '\0';
	return 0;
}

int addr_split(const char *text, char *host, size_t cap_bytes, uint16_t *port)
{
	const char *from, *port_text;
	size_t n;

	if (split(text, &from, &n, &port_text) || !port_text)
		return TCPX_EINVAL;
	return addr_split_port(text, host, cap_bytes, port);
}

void addr_join(const char *host, uint16_t port, char *to, size_t cap_bytes)
{
	snprintf(to, cap_bytes, strchr(host, ':') ? "[%s]:%u" : "%s:%u", host,
		 port);
}

bool addr_port_is_bad(const char *text)
{
	const char *host, *port_text;
	uint16_t port;
	size_t n;

	return split(text, &host, &n, &port_text) == 0 && port_text &&
	       parse_port(port_text, &port) != 0;
}
