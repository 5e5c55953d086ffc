/* SPDX-License-Identifier: Apache-2.0 */
/* tcpx perf between two hosts with two networks, each a namespace. */
#include "check.h"
#include "net/hosts.h"

#define RAW_PORT 7070

static struct host client, server;

/* Dies with the case, as its host does. */
static void serve(void)
{
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (pid)
		return;
	host_try(&server,
		 "TCPX_SECRET=abc TCPX_GPU=off exec %s perf >/dev/null",
		 getenv("TEST_TOOL"));
	_exit(0);
}

/* Bare TCP goes by the networks that the library goes by. */
static void ceiling_by_all_rails(void)
{
	hosts_need_root();
	host_create(&client);
	host_create(&server);
	hosts_link(&client, &server, "eth1", "10.7.0.1/24", "10.7.0.2/24");
	hosts_link(&client, &server, "eth2", "10.7.1.1/24", "10.7.1.2/24");
	host_run(&server, "nft add table inet raw && "
			  "nft add chain inet raw in "
			  "'{ type filter hook input priority 0; }'");
	for (int i = 1; i <= 2; i++)
		host_run(&server,
			 "nft add rule inet raw in iifname eth%d tcp dport %d "
			 "counter",
			 i, RAW_PORT);
	serve();
	host_run(&client,
		 "TCPX_SECRET=abc TCPX_GPU=off %s perf 10.7.0.2 --flows 1 "
		 "--size 1M --count 8 --ceiling --raw-port %d >&2",
		 getenv("TEST_TOOL"), RAW_PORT);
	host_run(&server, "nft list chain inet raw in >&2");
	/* Megabytes by both. */
	host_run(&server, "test $(nft list chain inet raw in | "
			  "grep -cE 'bytes [0-9]{7,}') = 2");
	host_destroy(&client);
	host_destroy(&server);
}

static const struct check_case cases[] = {
	{"ceiling_by_all_rails", ceiling_by_all_rails, 60},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
