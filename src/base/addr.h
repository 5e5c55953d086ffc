/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_ADDR_H
#define BASE_ADDR_H

/* One IPv4 or IPv6 socket address, port included. Addresses in text are only
 * ever read here: nobody looks for a colon by hand. */

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct net_addr {
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	};
};

#define ADDR_TEXT_MAX 72

/* "1.2.3.4:7" or "[::1]:7" (with %scope where there is one); to holds at
 * least ADDR_TEXT_MAX bytes. */
void addr_text(const struct net_addr *addr, char *to);
/* Without the port, and without brackets; "": no address. */
void addr_host_text(const struct net_addr *addr, char *to);
socklen_t addr_len(const struct net_addr *addr);
uint16_t addr_port(const struct net_addr *addr);
void addr_set_port(struct net_addr *addr, uint16_t port);
bool addr_equal(const struct net_addr *a, const struct net_addr *b);
bool addr_is_any(const struct net_addr *addr);
/*
 * A numeric address: "1.2.3.4", "1.2.3.4:7", "::1", "[::1]", "[::1]:7". Port 0
 * where none is given. TCPX_EINVAL: not numeric.
 */
int addr_parse(const char *text, struct net_addr *addr);
/*
 * "host:port", "1.2.3.4:7", "[::1]:7" into host (without brackets) and port.
 * TCPX_EINVAL: no port or 0, a bare IPv6 address, host longer than cap.
 */
int addr_split(const char *text, char *host, size_t cap_bytes, uint16_t *port);
/* The same, but the port may be left out: "host", "::1", "[::1]" too. Then
 * *port stays as it is. */
int addr_split_port(const char *text, char *host, size_t cap_bytes,
		    uint16_t *port);
/* "host:7", or "[::1]:7" of a host with colons; cut where it does not fit. */
void addr_join(const char *host, uint16_t port, char *to, size_t cap_bytes);
/* Where the port is in "host:port", there is something, and no port. */
bool addr_port_is_bad(const char *text);

#endif
