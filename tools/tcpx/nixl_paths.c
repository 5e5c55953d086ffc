/* SPDX-License-Identifier: Apache-2.0 */
/* What the plugin in running processes says about its peers: one file an
 * engine, docs in plugins/nixl/README.md. */
#include "nixl.h"

#include "cmd.h"
#include "common/wrap.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static json_int_t number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

/* Field 22 of /proc/PID/stat; -1: no such process. The second field is the
 * program's name in parentheses and may hold anything. */
static long long start_ticks(long long pid)
{
	char path[64], line[1024];
	long long ticks = -1;
	char *at;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%lld/stat", pid);
	f = fopen(path, "re");
	if (!f)
		return -1;
	at = fgets(line, sizeof(line), f) ? strrchr(line, ')') : NULL;
	fclose(f);
	for (int i = 0; at && i < 20; i++)
		at = strchr(at + 1, ' ');
	if (at)
		ticks = atoll(at + 1);
	return ticks;
}

/* Only of processes that can be seen from here. */
static bool is_dead(const json_t *one)
{
	struct stat st;

	if (stat("/proc/self/ns/pid", &st) ||
	    (json_int_t)st.st_ino != number(one, "pid_namespace"))
		return false;
	return start_ticks(number(one, "pid")) != number(one, "start_ticks");
}

static bool is_description(const char *name)
{
	size_t len = strlen(name);

	return name[0] != '.' && len > 5 && !strcmp(name + len - 5, ".json");
}

static void take_file(int dir_fd, const char *name, json_t *list)
{
	int fd = openat(dir_fd, name,
			O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	json_t *one;

	if (fd < 0)
		return; /* it ended just now */
	one = json_loadfd(fd, 0, NULL);
	close(fd);
	if (!json_is_object(one)) {
		complain("%s is not a description; ignored", name);
		json_decref(one);
		return;
	}
	if (is_dead(one)) {
		unlinkat(dir_fd, name, 0);
		json_decref(one);
		return;
	}
	json_array_append_new(list, one);
}

/* The plugin's own rule; "" if there are none at all. */
static void usual_dir(char dir[PATH_MAX])
{
	const char *set = getenv("TCPX_DESCRIBE_DIR");

	if (set)
		snprintf(dir, PATH_MAX, "%s", set);
	else
		snprintf(dir, PATH_MAX, "/tmp/tcpx-%u", (unsigned)geteuid());
}

/* A directory of that name may have been made by anybody. */
static bool is_trusted(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 &&
	       (st.st_uid == geteuid() || st.st_uid == 0);
}

static int by_pid(const void *a, const void *b)
{
	json_int_t x = number(*(json_t *const *)a, "pid");
	json_int_t y = number(*(json_t *const *)b, "pid");

	return (x > y) - (x < y);
}

static json_t *sorted(json_t *list)
{
	size_t n = json_array_size(list);
	json_t **all = calloc(n + 1, sizeof(*all));
	json_t *result = json_array();

	for (size_t i = 0; all && i < n; i++)
		all[i] = json_array_get(list, i);
	if (all)
		qsort(all, n, sizeof(*all), by_pid);
	for (size_t i = 0; all && i < n; i++)
		json_array_append(result, all[i]);
	free(all);
	json_decref(list);
	return result;
}

json_t *nixl_paths(const char *dir)
{
	char usual[PATH_MAX];
	struct dirent *entry;
	json_t *list;
	DIR *d;

	if (!dir) {
		usual_dir(usual);
		dir = usual;
	}
	d = opendir(dir);
	/* The usual one is made by the first who has something to tell. */
	if (!d && dir == usual && (errno == ENOENT || !*dir))
		return json_array();
	if (!d) {
		complain("%s: %s", dir, strerror(errno));
		return NULL;
	}
	if (dir == usual && !is_trusted(dirfd(d))) {
		complain("%s belongs to somebody else: nothing in it is ours",
			 dir);
		closedir(d);
		return NULL;
	}
	list = json_array();
	while ((entry = readdir(d)))
		if (is_description(entry->d_name))
			take_file(dirfd(d), entry->d_name, list);
	closedir(d);
	return sorted(list);
}

/* Names come from other processes: nothing that a terminal would obey. */
static const char *plain(const json_t *object, const char *key, char *buf,
			 size_t cap_bytes)
{
	const char *value = json_string_value(json_object_get(object, key));
	char *c;

	snprintf(buf, cap_bytes, "%s", value && *value ? value : "?");
	for (c = buf; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 127)
			*c = '?';
	return buf;
}

static void add_rails(const json_t *pair, char *line, size_t cap_bytes)
{
	const json_t *rail;
	size_t i, used = strlen(line);
	char name[64];

	json_array_foreach(json_object_get(pair, "rails"), i, rail)
	{
		if (used < cap_bytes)
			used += (size_t)snprintf(line + used, cap_bytes - used,
						 "%s%s", i ? ", " : " over ",
						 plain(rail, "ifname", name,
						       sizeof(name)));
	}
}

static void print_pair(const json_t *pair)
{
	char local[64], remote[64], by[64], why[400], line[1024];
	const json_t *one;
	size_t i;

	snprintf(line, sizeof(line), "%s to %s: by %s",
		 plain(pair, "local", local, sizeof(local)),
		 plain(pair, "remote", remote, sizeof(remote)),
		 plain(pair, "transport", by, sizeof(by)));
	add_rails(pair, line, sizeof(line));
	snprintf(line + strlen(line), sizeof(line) - strlen(line),
		 ", %lld flows", (long long)number(pair, "flows"));
	text_wrap(stdout, 4, 8, line);
	snprintf(line, sizeof(line), "because %s",
		 plain(pair, "why", why, sizeof(why)));
	text_wrap(stdout, 8, 8, line);
	json_array_foreach(json_object_get(pair, "rejected"), i, one)
	{
		plain(one, "transport", by, sizeof(by));
		if (!strncmp(by, "loop", 4)) /* only ever asked for by tests */
			continue;
		snprintf(line, sizeof(line), "not by %s: %s", by,
			 plain(one, "why", why, sizeof(why)));
		text_wrap(stdout, 8, 8, line);
	}
}

static void print_peer(const json_t *peer)
{
	char name[128], state[32], cause[256];
	const json_t *pair;
	size_t i;

	plain(peer, "cause", cause, sizeof(cause));
	printf("  peer %s, %s%s%s\n", plain(peer, "name", name, sizeof(name)),
	       plain(peer, "state", state, sizeof(state)),
	       strcmp(cause, "?") ? ": " : "", strcmp(cause, "?") ? cause : "");
	json_array_foreach(json_object_get(peer, "pairs"), i, pair)
		print_pair(pair);
}

static void print_process(const json_t *one)
{
	char agent[128], version[32], line[256];
	const json_t *peers = json_object_get(one, "peers"), *peer;
	size_t i;

	snprintf(line, sizeof(line),
		 "process %lld, agent %s, plugin %s, port %lld",
		 (long long)number(one, "pid"),
		 plain(one, "agent", agent, sizeof(agent)),
		 plain(one, "version", version, sizeof(version)),
		 (long long)number(one, "port"));
	text_wrap(stdout, 0, 2, line);
	if (json_array_size(peers) == 0)
		printf("  no peers\n");
	json_array_foreach(peers, i, peer) print_peer(peer);
}

void nixl_paths_print(const json_t *list)
{
	const json_t *one;
	size_t i;

	if (json_array_size(list) == 0)
		printf("no process with a backend %s\n", NIXL_BACKEND);
	json_array_foreach(list, i, one)
	{
		if (i)
			putchar('\n');
		print_process(one);
	}
}
