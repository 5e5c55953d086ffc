/* SPDX-License-Identifier: Apache-2.0 */
#include "base/addr.h"

#include <net/if.h>

#include "check.h"

/* Text in, and text out again; NULL: not an address. */
static const char *const texts[][2] = {
	{"1.2.3.4", "1.2.3.4:0"},
	{"1.2.3.4:7", "1.2.3.4:7"},
	{"1.2.3.4:0", "1.2.3.4:0"},
	{"1.2.3.4:65535", "1.2.3.4:65535"},
	{"0.0.0.0", "0.0.0.0:0"},
	{"::", "[::]:0"},
	{"::1", "[::1]:0"},
	{"[::1]", "[::1]:0"},
	{"[::1]:7", "[::1]:7"},
	{"2001:DB8:0:0:0:0:0:1", "[2001:db8::1]:0"},
	{"fe80::1:7", "[fe80::1:7]:0"},
	{"::ffff:1.2.3.4", "[::ffff:1.2.3.4]:0"},
	{"[::ffff:1.2.3.4]:9", "[::ffff:1.2.3.4]:9"},
	{"fe80::1%lo", "[fe80::1%lo]:0"},
	{"[fe80::1%lo]:1025", "[fe80::1%lo]:1025"},
	{"fe80::1%4000000000", "[fe80::1%4000000000]:0"},
	{"", NULL},
	{":", NULL},
	{"[]", NULL},
	{"[]:7", NULL},
	{"[", NULL},
	{"[::1", NULL},
	{"[::1]7", NULL},
	{"[::1]:", NULL},
	{"[::1]:7x", NULL},
	{"[::1]:-7", NULL},
	{"[::1]:65536", NULL},
	{"[::1]:18446744073709551623", NULL},
	{"[1.2.3.4]:7", NULL},
	{"[[::1]]:7", NULL},
	{"1.2.3.4:", NULL},
	{"1.2.3.4: 7", NULL},
	{"1.2.3.4:+7", NULL},
	{"1.2.3.4:0x7", NULL},
	{"1.2.3", NULL},
	{"1.2.3.4.5", NULL},
	{"1.2.3.256", NULL},
	{"1.2.3.4%lo", NULL},
	{" 1.2.3.4", NULL},
	{"1.2.3.4 ", NULL},
	{":::1", NULL},
	{"1:2:3:4:5:6:7:8:9", NULL},
	{"::1%", NULL},
	{"::1%nosuchinterface0", NULL},
	{"::1%99999999999", NULL},
	{"localhost", NULL},
	{"localhost:7", NULL},
	{"11111111111111111111111111111111111111111111111111111111111111111111"
	 "11111111111111111111111111111111111",
	 NULL},
};

static void texts_by_table(void)
{
	char out[ADDR_TEXT_MAX];
	struct net_addr addr, again;

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		int rc = addr_parse(texts[i][0], &addr);

		fprintf(stderr, "\"%s\"\n", texts[i][0]);
		CHECK_STATUS(rc, texts[i][1] ? 0 : TCPX_EINVAL);
		if (rc)
			continue;
		addr_text(&addr, out);
		CHECK_STR(out, texts[i][1]);
		CHECK_STATUS(addr_parse(out, &again), 0);
		CHECK(addr_equal(&addr, &again));
	}
}

static void longest_text(void)
{
	struct net_addr addr;
	char out[ADDR_TEXT_MAX + 1];

	memset(&addr, 0xff, sizeof(addr));
	addr.in6.sin6_family = AF_INET6;
	memset(out, 'x', sizeof(out));
	addr_text(&addr, out);
	CHECK_STR(out, "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:"
		       "65535");
	CHECK_EQ(out[ADDR_TEXT_MAX], 'x');
	addr.sa.sa_family = AF_UNSPEC;
	addr_text(&addr, out);
	CHECK(strlen(out) > 0);
}

static void families(void)
{
	struct net_addr v4, v6, none = {0};

	CHECK_STATUS(addr_parse("1.2.3.4:5", &v4), 0);
	CHECK_STATUS(addr_parse("[::1]:6", &v6), 0);
	CHECK_EQ(v4.sa.sa_family, AF_INET);
	CHECK_EQ(v6.sa.sa_family, AF_INET6);
	CHECK_EQ(addr_len(&v4), sizeof(struct sockaddr_in));
	CHECK_EQ(addr_len(&v6), sizeof(struct sockaddr_in6));
	CHECK_EQ(addr_len(&none), 0);
	CHECK_EQ(addr_port(&v4), 5);
	CHECK_EQ(ntohs(v4.in.sin_port), 5);
	CHECK_EQ(addr_port(&v6), 6);
	CHECK_EQ(addr_port(&none), 0);
	addr_set_port(&v4, 6000);
	addr_set_port(&v6, 60000);
	addr_set_port(&none, 7);
	CHECK_EQ(addr_port(&v4), 6000);
	CHECK_EQ(addr_port(&v6), 60000);
	CHECK_EQ(addr_port(&none), 0);
}

static bool equal(const char *a, const char *b)
{
	struct net_addr x, y;

	CHECK_STATUS(addr_parse(a, &x), 0);
	CHECK_STATUS(addr_parse(b, &y), 0);
	CHECK_EQ(addr_equal(&x, &y), addr_equal(&y, &x));
	return addr_equal(&x, &y);
}

static void equality(void)
{
	CHECK(equal("1.2.3.4:5", "1.2.3.4:5"));
	CHECK(!equal("1.2.3.4:5", "1.2.3.4:6"));
	CHECK(!equal("1.2.3.4:5", "1.2.3.5:5"));
	CHECK(equal("[::1]:5", "[0::1]:5"));
	CHECK(!equal("[::1]:5", "[::1]:6"));
	CHECK(!equal("[::1]:5", "[::2]:5"));
	CHECK(!equal("fe80::1%1", "fe80::1%2"));
	CHECK(!equal("1.2.3.4", "::ffff:1.2.3.4"));
}

static bool any(const char *text)
{
	struct net_addr addr;

	CHECK_STATUS(addr_parse(text, &addr), 0);
	return addr_is_any(&addr);
}

static void wildcards(void)
{
	CHECK(any("0.0.0.0:80"));
	CHECK(any("[::]:80"));
	CHECK(!any("0.0.0.1"));
	CHECK(!any("::1"));
}

static const struct {
	const char *text, *host;
	uint16_t port;
} splits[] = {
	{"host:7", "host", 7},
	{"gpu-7.example.org:18515", "gpu-7.example.org", 18515},
	{"1.2.3.4:65535", "1.2.3.4", 65535},
	{"[::1]:7", "::1", 7},
	{"[fe80::1%eth0]:7", "fe80::1%eth0", 7},
	{"host", NULL, 0},
	{"host:", NULL, 0},
	{"host:0", NULL, 0},
	{"host:65536", NULL, 0},
	{"host:http", NULL, 0},
	{"host:7:8", NULL, 0},
	{":7", NULL, 0},
	{"", NULL, 0},
	{"::1", NULL, 0},
	{"[::1]", NULL, 0},
	{"[::1]:", NULL, 0},
	{"[host]:7", NULL, 0},
	{"[]:7", NULL, 0},
	{"thirty-two.characters.with.the.7", NULL, 0},
	{"a.host.of.more.than.sixteen:7", NULL, 0},
};

static void splits_by_table(void)
{
	char host[18] = "untouched";
	uint16_t port;

	for (size_t i = 0; i < sizeof(splits) / sizeof(*splits); i++) {
		fprintf(stderr, "\"%s\"\n", splits[i].text);
		strcpy(host, "untouched");
		port = 1;
		CHECK_STATUS(addr_split(splits[i].text, host, sizeof(host),
					&port),
			     splits[i].host ? 0 : TCPX_EINVAL);
		CHECK_STR(host, splits[i].host ? splits[i].host : "untouched");
		CHECK_EQ(port, splits[i].host ? splits[i].port : 1);
	}
	CHECK_STATUS(addr_split("host:7", host, 5, &port), 0);
	CHECK_STATUS(addr_split("host:7", host, 4, &port), TCPX_EINVAL);
}

/* Without a port: 7174. */
static const struct {
	const char *text, *host;
	uint16_t port;
	const char *joined;
} loose_splits[] = {
	{"host", "host", 7174, "host:7174"},
	{"host:7", "host", 7, "host:7"},
	{"1.2.3.4", "1.2.3.4", 7174, "1.2.3.4:7174"},
	{"::1", "::1", 7174, "[::1]:7174"},
	{"[::1]", "::1", 7174, "[::1]:7174"},
	{"[::1]:7", "::1", 7, "[::1]:7"},
	{"fe80::1%eth0", "fe80::1%eth0", 7174, "[fe80::1%eth0]:7174"},
	{"[fe80::1%eth0]:7", "fe80::1%eth0", 7, "[fe80::1%eth0]:7"},
	{"[::1]junk", NULL, 0, NULL},
	{"[::1]7", NULL, 0, NULL},
	{"::1%a]b", NULL, 0, NULL},
	{"[::1]:", NULL, 0, NULL},
	{"[::1", NULL, 0, NULL},
	{"[host]", NULL, 0, NULL},
	{"[]", NULL, 0, NULL},
	{"host:", NULL, 0, NULL},
	{"host:0", NULL, 0, NULL},
	{"host:99999", NULL, 0, NULL},
	{"host:7:8", NULL, 0, NULL},
	{"host:7junk", NULL, 0, NULL},
	{":7", NULL, 0, NULL},
	{"", NULL, 0, NULL},
	{"a.host.of.more.than.sixteen", NULL, 0, NULL},
};

static void splits_without_a_port(void)
{
	char host[18], joined[32];
	uint16_t port;

	for (size_t i = 0; i < sizeof(loose_splits) / sizeof(*loose_splits);
	     i++) {
		const char *wanted = loose_splits[i].host;

		fprintf(stderr, "\"%s\"\n", loose_splits[i].text);
		strcpy(host, "untouched");
		port = 7174;
		CHECK_STATUS(addr_split_port(loose_splits[i].text, host,
					     sizeof(host), &port),
			     wanted ? 0 : TCPX_EINVAL);
		CHECK_STR(host, wanted ? wanted : "untouched");
		CHECK_EQ(port, wanted ? loose_splits[i].port : 7174);
		if (!wanted)
			continue;
		addr_join(host, port, joined, sizeof(joined));
		CHECK_STR(joined, loose_splits[i].joined);
	}
	addr_join("host", 7174, joined, 8);
	CHECK_STR(joined, "host:71");
}

/* What to complain of: the port, or all of it. */
static void bad_ports(void)
{
	static const char *const bad[] = {
		"host:0", "host:65536", "host:", "host:x", "[::1]:99999",
	};
	static const char *const other[] = {
		"host", "host:1", "host:65535", ":99999", "::1", "[::1:0",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		CHECK(addr_port_is_bad(bad[i]));
	for (size_t i = 0; i < sizeof(other) / sizeof(*other); i++)
		CHECK(!addr_port_is_bad(other[i]));
}

static const struct check_case cases[] = {
	{"texts_by_table", texts_by_table, 0},
	{"longest_text", longest_text, 0},
	{"families", families, 0},
	{"equality", equality, 0},
	{"wildcards", wildcards, 0},
	{"splits_by_table", splits_by_table, 0},
	{"splits_without_a_port", splits_without_a_port, 0},
	{"bad_ports", bad_ports, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
