/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <tcpx/status.h>

#include "base/addr.h"
#include "fuzz.h"

static void check_parse(const char *text)
{
	struct net_addr addr, again;
	char out[ADDR_TEXT_MAX];

	if (addr_parse(text, &addr))
		return;
	MUST(addr_len(&addr) > 0);
	addr_text(&addr, out);
	MUST(strlen(out) < sizeof(out));
	MUST(addr_parse(out, &again) == 0);
	MUST(addr_equal(&addr, &again));
}

static void check_split(const char *text)
{
	char host[80], host_again[80], out[120];
	uint16_t port = 0, port_again = 0;
	struct net_addr addr;

	if (addr_split(text, host, sizeof(host), &port))
		return;
	MUST(port > 0 && host[0] != '\0' && strlen(host) < sizeof(host));
	addr_join(host, port, out, sizeof(out));
	MUST(addr_split(out, host_again, sizeof(host_again), &port_again) == 0);
	MUST(strcmp(host, host_again) == 0 && port == port_again);
	/* What reads as an address reads the same in both ways. */
	if (addr_parse(text, &addr) == 0)
		MUST(addr_port(&addr) == port);
}

/* Without a port it is the one given, and else as with one. */
static void check_split_port(const char *text)
{
	char host[80], out[120];
	uint16_t port = 7;

	if (addr_split_port(text, host, sizeof(host), &port)) {
		MUST(addr_split(text, host, sizeof(host), &port) != 0);
		return;
	}
	MUST(port > 0 && host[0] != '\0' && strlen(host) < sizeof(host));
	addr_join(host, port, out, sizeof(out));
	check_split(out);
	MUST(addr_split(out, host, sizeof(host), &port) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
	char text[256];

	if (len_bytes >= sizeof(text))
		return 0;
	memcpy(text, data, len_bytes);
	text[len_bytes] = '\0';
	check_parse(text);
	check_split(text);
	check_split_port(text);
	return 0;
}
