/* SPDX-License-Identifier: Apache-2.0 */
#include "pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compare.h"
#include "support/proc.h"

#define POOL_MIB "1024"
#define START_MS 120000

static struct proc daemon_proc;
static char dir[] = "/tmp/tcpx-rxdm-XXXXXX";

void pool_start(const char *kind, const char *plugin)
{
	const char *slash = strrchr(plugin, '/');
	char program[4096], setting[64];
	const char *const env[] = {setting, NULL};
	const char *const argv[] = {program, dir, POOL_MIB, NULL};
	const char *line;

	snprintf(program, sizeof(program), "%.*srxdm",
		 slash ? (int)(slash + 1 - plugin) : 0, plugin);
	snprintf(setting, sizeof(setting), "DOUBLE_POOL_KIND=%s", kind);
	if (!mkdtemp(dir))
		compare_die("no folder for the daemon");
	proc_start(&daemon_proc, NULL, env, argv);
	line = proc_line(&daemon_proc, START_MS);
	if (!line || strcmp(line, "ready") != 0) {
		rmdir(dir);
		compare_die("the stand-in for the daemon makes no such pool");
	}
	setenv("DOUBLE_POOL_FROM", dir, 1);
	setenv("NCCL_GPUDIRECTTCPX_UNIX_CLIENT_PREFIX", dir, 1);
}

/* Its folder goes with it. */
void pool_stop(void)
{
	if (daemon_proc.pid)
		proc_stop(&daemon_proc);
}
