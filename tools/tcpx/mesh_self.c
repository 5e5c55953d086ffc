/* SPDX-License-Identifier: Apache-2.0 */
/* Which rank this process is, of how many, and where rank 0 is. */
#include "mesh.h"

#include "base/addr.h"
#include "cmd.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What launchers leave in the environment; the first that is there counts. An
 * mpirun inside a Slurm job comes before Slurm's own. */
static const struct launcher {
	const char *name;
	const char *rank, *ranks, *local_rank, *local_ranks;
	const char *root; /* host of rank 0 */
} launchers[] = {
	{"mpirun", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE",
	 "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE", NULL},
	{"mpiexec", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID",
	 "MPI_LOCALNRANKS", NULL},
	{"torchrun", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE",
	 "MASTER_ADDR"},
	{"srun", "SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID",
	 "SLURM_STEP_TASKS_PER_NODE", "SLURM_STEP_NODELIST"},
};
#define N_LAUNCHERS (sizeof(launchers) / sizeof(*launchers))

static const char *get(const char *variable)
{
	const char *text = variable ? getenv(variable) : NULL;

	return text && *text ? text : NULL;
}

/* The number a variable begins with ("2(x3)" of Slurm); -1: none. */
static int64_t number(const char *variable)
{
	const char *text = get(variable);
	char *end;
	unsigned long n;

	if (!text)
		return -1;
	n = strtoul(text, &end, 10);
	return end == text || n > MESH_RANKS_MAX ? -1 : (int64_t)n;
}

/* ---- where rank 0 is ----------------------------------------------------- */

/* "a3-[001-004,9]-x,b" -> "a3-001-x": the first host of such a list. */
static void first_host(const char *list, char *host, size_t cap_bytes)
{
	size_t n = strcspn(list, "[,"), first = 0;
	const char *in = list + n, *rest = "";

	if (*in == '[') {
		in++;
		first = strcspn(in, "-,]");
		rest = in + strcspn(in, "]");
		rest += *rest == ']';
	}
	snprintf(host, cap_bytes, "%.*s%.*s%.*s", (int)n, list, (int)first, in,
		 (int)strcspn(rest, ",["), rest);
}

static int split_root(const char *address, struct mesh_self *self)
{
	return addr_split_port(address, self->root_host,
			       sizeof(self->root_host), &self->root_port);
}

/* By --root, the launcher, or because everybody is here. */
static int find_root(const struct mesh_options *options,
		     const struct launcher *launcher, struct mesh_self *self)
{
	const char *list = launcher ? get(launcher->root) : NULL;

	if (options->root && split_root(options->root, self)) {
		complain("--root %s: HOST[:PORT] is wanted", options->root);
		return -1;
	}
	if (options->root)
		return 0;
	if (list) {
		first_host(list, self->root_host, sizeof(self->root_host));
		return 0;
	}
	if (self->ranks == 1 || self->local_ranks == self->ranks) {
		snprintf(self->root_host, sizeof(self->root_host), "127.0.0.1");
		return 0;
	}
	complain("where is rank 0? --root HOST[:PORT] says it%s%s%s",
		 launcher ? ", " : "", launcher ? launcher->name : "",
		 launcher ? " does not" : "");
	return -1;
}

/* ---- by hand ------------------------------------------------------------- */

static bool same_address(const struct sockaddr *a, const struct sockaddr *b)
{
	if (!a || a->sa_family != b->sa_family)
		return false;
	if (a->sa_family == AF_INET)
		return ((const struct sockaddr_in *)(const void *)a)
			       ->sin_addr.s_addr ==
		       ((const struct sockaddr_in *)(const void *)b)
			       ->sin_addr.s_addr;
	return a->sa_family == AF_INET6 &&
	       !memcmp(&((const struct sockaddr_in6 *)(const void *)a)
				->sin6_addr,
		       &((const struct sockaddr_in6 *)(const void *)b)
				->sin6_addr,
		       sizeof(struct in6_addr));
}

/* Does the name lead to an address of this host? */
static bool resolves_here(const char *name)
{
	struct addrinfo *found = NULL, hints = {.ai_socktype = SOCK_STREAM};
	struct ifaddrs *all = NULL, *one;
	bool here = false;

	if (getaddrinfo(name, NULL, &hints, &found))
		return false;
	if (getifaddrs(&all))
		all = NULL;
	for (const struct addrinfo *a = found; a && !here; a = a->ai_next)
		for (one = all; one && !here; one = one->ifa_next)
			here = same_address(one->ifa_addr, a->ai_addr);
	freeifaddrs(all);
	freeaddrinfo(found);
	return here;
}

static bool is_this_host(const char *name)
{
	char own[256] = "";
	size_t n;

	gethostname(own, sizeof(own) - 1);
	n = strcspn(own, ".");
	if (!strcmp(name, own) || (strlen(name) == n && !strncmp(name, own, n)))
		return true;
	return resolves_here(name);
}

/* One of --hosts; the first is rank 0, and where the root is unless --root says
 * so. Without a port it is the one that self has. */
static int take_host(const char *name, const struct mesh_options *options,
		     struct mesh_self *self, uint32_t *n_here)
{
	uint16_t port = self->root_port;
	char host[256];

	if (addr_split_port(name, host, sizeof(host), &port)) {
		complain("--hosts: \"%s\" is no HOST[:PORT]", name);
		return -1;
	}
	if (!self->ranks && !options->root) {
		strcpy(self->root_host, host);
		self->root_port = port;
	}
	if (options->rank < 0 && is_this_host(host) && (*n_here)++ == 0)
		self->rank = self->ranks;
	self->ranks++;
	return 0;
}

/* "--hosts a,b": a process a host. */
static int take_hosts(const struct mesh_options *options,
		      struct mesh_self *self, uint32_t *n_here)
{
	char *copy = strdup(options->hosts), *state = NULL, *name;
	int rc = 0;

	for (name = copy ? strtok_r(copy, ", ", &state) : NULL; name && !rc;
	     name = strtok_r(NULL, ", ", &state))
		rc = take_host(name, options, self, n_here);
	free(copy);
	return rc;
}

static int find_by_hosts(const struct mesh_options *options,
			 struct mesh_self *self)
{
	bool told = options->rank >= 0;
	uint32_t n_here = 0;
	int rc = -1;

	if (take_hosts(options, self, &n_here))
		return -1;
	self->local_ranks = 1;
	if (told)
		self->rank = (uint32_t)options->rank;
	if (!told && !n_here)
		complain("this host is none of --hosts %s; --rank N says which "
			 "of them it is, from 0",
			 options->hosts);
	else if (n_here > 1)
		complain("--hosts %s: %u of these are this host, so which of "
			 "them this process is must be said: --rank N, from 0, "
			 "another one for each",
			 options->hosts, n_here);
	else if (self->rank >= self->ranks)
		complain("--rank %u: --hosts names %u", self->rank,
			 self->ranks);
	else
		rc = options->root ? find_root(options, NULL, self) : 0;
	return rc;
}

static int find_by_hand(const struct mesh_options *options,
			struct mesh_self *self)
{
	if (options->rank < 0 || options->ranks < 0) {
		complain("--rank and --ranks go together");
		return -1;
	}
	if (options->rank >= options->ranks) {
		complain("--rank %lld: ranks go from 0 to %lld",
			 (long long)options->rank,
			 (long long)options->ranks - 1);
		return -1;
	}
	self->rank = (uint32_t)options->rank;
	self->ranks = (uint32_t)options->ranks;
	return find_root(options, NULL, self);
}

static int find_by_launcher(const struct mesh_options *options,
			    struct mesh_self *self)
{
	const struct launcher *l = launchers;
	int64_t rank, ranks, local;

	while (l < launchers + N_LAUNCHERS &&
	       (number(l->rank) < 0 || number(l->ranks) < 1))
		l++;
	if (l == launchers + N_LAUNCHERS) {
		complain("which rank is this? Start it by mpirun or srun, or "
			 "say --hosts A,B or --rank N --ranks N --root HOST");
		return -1;
	}
	rank = number(l->rank);
	ranks = number(l->ranks);
	if (rank >= ranks) {
		complain("%s is %lld, and %s is %lld", l->rank, (long long)rank,
			 l->ranks, (long long)ranks);
		return -1;
	}
	self->rank = (uint32_t)rank;
	self->ranks = (uint32_t)ranks;
	local = number(l->local_rank);
	self->local_rank = local < 0 ? 0 : (uint32_t)local;
	ranks = number(l->local_ranks);
	self->local_ranks = local < 0 || ranks < 0 ? 0 : (uint32_t)ranks;
	return find_root(options, l, self);
}

int mesh_find_self(const struct mesh_options *options, uint16_t root_port,
		   struct mesh_self *self)
{
	memset(self, 0, sizeof(*self));
	self->root_port = root_port;
	if (options->hosts)
		return find_by_hosts(options, self);
	if (options->rank >= 0 || options->ranks >= 0)
		return find_by_hand(options, self);
	return find_by_launcher(options, self);
}
