/* SPDX-License-Identifier: Apache-2.0 */
#include "topo/route.h"

#include <arpa/inet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <tcpx/status.h>
#include <unistd.h>

#define NEIGHBOURS_TRIED 16u

struct question {
	struct nlmsghdr head;
	struct rtmsg route;
	char attrs[2 * RTA_SPACE(16)];
};

/* The bytes of the address alone. */
static uint8_t *bytes_of(struct net_addr *addr, uint32_t *n)
{
	bool v6 = addr->sa.sa_family == AF_INET6;

	*n = v6 ? 16 : 4;
	return v6 ? (uint8_t *)&addr->in6.sin6_addr :
		    (uint8_t *)&addr->in.sin_addr;
}

/* ---- asking the kernel ------------------------------------------------ */

static void add_addr(struct question *question, uint16_t type,
		     const struct net_addr *addr)
{
	struct net_addr copy = *addr;
	struct rtattr *attr = (void *)((char *)question +
				       NLMSG_ALIGN(question->head.nlmsg_len));
	uint32_t n;
	const uint8_t *bytes = bytes_of(&copy, &n);

	attr->rta_type = type;
	attr->rta_len = (uint16_t)RTA_LENGTH(n);
	memcpy(RTA_DATA(attr), bytes, n);
	question->head.nlmsg_len =
		NLMSG_ALIGN(question->head.nlmsg_len) + RTA_SPACE(n);
}

static void put_question(struct question *question, const struct net_addr *from,
			 const struct net_addr *to)
{
	uint8_t bits = to->sa.sa_family == AF_INET6 ? 128 : 32;

	memset(question, 0, sizeof(*question));
	question->head.nlmsg_len = NLMSG_LENGTH(sizeof(question->route));
	question->head.nlmsg_type = RTM_GETROUTE;
	question->head.nlmsg_flags = NLM_F_REQUEST;
	question->route.rtm_family = (uint8_t)to->sa.sa_family;
	question->route.rtm_dst_len = question->route.rtm_src_len = bits;
	add_addr(question, RTA_DST, to);
	add_addr(question, RTA_SRC, from);
}

static int read_answer(const struct nlmsghdr *head, size_t n_bytes,
		       uint32_t *ifindex)
{
	const struct rtmsg *route = NLMSG_DATA(head);

	if (!NLMSG_OK(head, n_bytes) || head->nlmsg_type != RTM_NEWROUTE ||
	    head->nlmsg_len < NLMSG_LENGTH(sizeof(*route)) ||
	    route->rtm_type != RTN_UNICAST)
		return TCPX_ENOENT;
	size_t left = RTM_PAYLOAD(head);

	for (const struct rtattr *attr = RTM_RTA(route); RTA_OK(attr, left);
	     attr = RTA_NEXT(attr, left)) {
		if (attr->rta_type != RTA_OIF ||
		    attr->rta_len < RTA_LENGTH(sizeof(*ifindex)))
			continue;
		memcpy(ifindex, RTA_DATA(attr), sizeof(*ifindex));
		return 0;
	}
	return TCPX_ENOENT;
}

int route_ifindex(const struct net_addr *from, const struct net_addr *to,
		  uint32_t *ifindex)
{
	union {
		struct nlmsghdr head;
		char bytes[4096];
	} answer;
	struct question question;
	ssize_t n = -1;

	if (from->sa.sa_family != to->sa.sa_family)
		return TCPX_ENOENT;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0)
		return TCPX_ENOENT;
	put_question(&question, from, to);
	/* The kernel has answered when send() returns. */
	if (send(fd, &question, question.head.nlmsg_len, 0) > 0)
		n = recv(fd, &answer, sizeof(answer), MSG_DONTWAIT);
	close(fd);
	return n < 0 ? TCPX_ENOENT :
		       read_answer(&answer.head, (size_t)n, ifindex);
}

/* ---- subnets ---------------------------------------------------------- */

int route_in_subnet(const struct nic *nic, uint32_t *ifindex)
{
	struct net_addr to = nic->addr;
	uint32_t n;
	uint8_t *last = bytes_of(&to, &n) + n - 1, own = *last;
	uint32_t host_bits = 8 * n - nic->prefix_bits;

	if (!nic->prefix_bits || nic->prefix_bits > 8 * n)
		return TCPX_ENOENT;
	/* Until one is neither this host nor everybody. */
	for (uint32_t k = 1; k < NEIGHBOURS_TRIED; k++) {
		if (host_bits < 4 && k >> host_bits)
			break;
		*last = own ^ (uint8_t)k;
		if (!route_ifindex(&nic->addr, &to, ifindex))
			return 0;
	}
	return TCPX_ENOENT;
}

void route_subnet_text(const struct nic *nic, char to[SUBNET_TEXT_MAX])
{
	struct net_addr net = nic->addr;
	char text[INET6_ADDRSTRLEN];
	uint32_t n;
	uint8_t *bytes = bytes_of(&net, &n);

	for (uint32_t bit = nic->prefix_bits; bit < 8 * n; bit++)
		bytes[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
	inet_ntop(net.sa.sa_family, bytes, text, sizeof(text));
	snprintf(to, SUBNET_TEXT_MAX, "%s/%u", text, nic->prefix_bits);
}
