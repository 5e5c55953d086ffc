/* SPDX-License-Identifier: Apache-2.0 */
#include "topo/homes.h"

#include <dirent.h>

#include "check.h"
#include "topo/distance.h"

/*
 * Homes and rails of GPUs, on a machine that was written down: a3-highgpu-8g,
 * two sockets, each with two switches that have two GPUs and a NIC.
 */

static const char *const gpus[8] = {
	"0000:04:00.0", "0000:05:00.0", "0000:0a:00.0", "0000:0b:00.0",
	"0000:84:00.0", "0000:85:00.0", "0000:8a:00.0", "0000:8b:00.0",
};
static const char *const nics[4] = {
	"0000:06:00.0",
	"0000:0c:00.0",
	"0000:86:00.0",
	"0000:8c:00.0",
};
static const char *const names[4] = {"eth1", "eth2", "eth3", "eth4"};

static const char *name_of(const void *arg, uint32_t nic)
{
	return names[nic];
}

static struct topo_map *load_a3(void)
{
	const char *path = getenv("A3_XML");
	FILE *file = path ? fopen(path, "re") : NULL;
	static char text[1 << 18];
	struct topo_map *map;

	CHECK(file != NULL);
	size_t n = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[n] = '\0';
	CHECK_STATUS(topo_map_load(text, &map), TCPX_OK);
	return map;
}

static void measure(uint32_t distance[32])
{
	struct topo_map *map = load_a3();

	for (int g = 0; g < 8; g++)
		for (int n = 0; n < 4; n++)
			distance[g * 4 + n] =
				topo_map_distance(map, gpus[g], nics[n]);
	topo_map_free(map);
}

static void a3_distances(void)
{
	struct topo_map *map = load_a3();

	CHECK_EQ(topo_map_distance(map, gpus[0], gpus[0]), 0);
	CHECK_EQ(topo_map_distance(map, gpus[0], nics[0]), 2);
	CHECK_EQ(topo_map_distance(map, gpus[0], nics[1]), 4);
	/* Over both packages. */
	CHECK(topo_map_distance(map, gpus[0], nics[2]) > 4);
	CHECK_EQ(topo_map_distance(map, gpus[0], "0000:99:00.0"), TOPO_UNKNOWN);
	CHECK_EQ(topo_map_distance(map, "nonsense", nics[0]), TOPO_UNKNOWN);
	topo_map_free(map);
}

static void a3_cpus(void)
{
	struct topo_map *map = load_a3();
	char list[64];

	topo_map_cpus(map, nics[0], list, sizeof(list));
	CHECK_STR(list, "0-51,104-155");
	topo_map_cpus(map, nics[3], list, sizeof(list));
	CHECK_STR(list, "52-103,156-207");
	topo_map_cpus(map, nics[3], list, 12); /* whole ranges only */
	CHECK_STR(list, "52-103");
	topo_map_cpus(map, "0000:99:00.0", list, sizeof(list));
	CHECK_STR(list, "");
	topo_map_free(map);
}

static void a3_homes(void)
{
	const uint32_t want[8] = {0, 0, 1, 1, 2, 2, 3, 3};
	uint32_t distance[32], home[8];

	measure(distance);
	homes_plan(distance, 8, 4, home);
	for (int g = 0; g < 8; g++)
		CHECK_EQ(home[g], want[g]);
}

/* A lane is filled by the one GPU whose memory its slots are in: a GPU reaches
 * by the plugin what its own lane goes to. */
static bool by_plugin(const uint32_t *home, uint32_t n_gpus, uint32_t src,
		      uint32_t dst_index, uint32_t dst_home)
{
	uint32_t slot = homes_slot_gpu(home, n_gpus, dst_index, dst_home);

	CHECK(slot == HOME_NONE || home[slot] == dst_home);
	return slot == src;
}

/* Every pair of two such hosts, each driven by one process. Both ways to run a
 * plugin choose by this: the lane to a GPU is filled by the one of its index. */
static void a3_mesh(void)
{
	uint32_t distance[32], home[8];

	measure(distance);
	homes_plan(distance, 8, 4, home);
	for (uint32_t src = 0; src < 8; src++)
		for (uint32_t dst = 0; dst < 8; dst++)
			CHECK_EQ(by_plugin(home, 8, src, dst, home[dst]),
				 src == dst);
}

/* The same, a process a GPU, which is its number 0: the pairs of one rail. */
static void a3_mesh_of_processes(void)
{
	uint32_t distance[32], home[8], n = 0;

	measure(distance);
	homes_plan(distance, 8, 4, home);
	for (uint32_t src = 0; src < 8; src++) {
		for (uint32_t dst = 0; dst < 8; dst++) {
			bool reached =
				by_plugin(&home[src], 1, 0, 0, home[dst]);

			CHECK_EQ(reached, src / 2 == dst / 2);
			n += reached;
		}
	}
	CHECK_EQ(n, 16);
}

/* A host whose GPUs sit elsewhere: another of the receiver's rail takes it. */
static void other_index(void)
{
	const uint32_t home[4] = {3, 2, 1, 1};

	CHECK_EQ(homes_slot_gpu(home, 4, 0, 3), 0);
	CHECK_EQ(homes_slot_gpu(home, 4, 0, 1), 2);
	CHECK_EQ(homes_slot_gpu(home, 4, 3, 1), 3);
	CHECK_EQ(homes_slot_gpu(home, 4, 7, 2), 1);
	CHECK_EQ(homes_slot_gpu(home, 4, 0, 0), HOME_NONE);
}

static void ties_are_shared(void)
{
	const uint32_t distance[] = {5, 5, 5, 5,
				     5, 5, 5, 5}; /* 4 GPUs, 2 NICs */
	const uint32_t unknown[] = {TOPO_UNKNOWN, TOPO_UNKNOWN, TOPO_UNKNOWN,
				    3};
	uint32_t home[4];

	homes_plan(distance, 4, 2, home);
	CHECK_EQ(home[0], 0);
	CHECK_EQ(home[1], 1);
	CHECK_EQ(home[2], 0);
	CHECK_EQ(home[3], 1);
	homes_plan(unknown, 2, 2, home);
	CHECK_EQ(home[0], HOME_NONE);
	CHECK_EQ(home[1], 1);
}

static const char *pci_of(const void *arg, uint32_t gpu)
{
	return gpus[gpu];
}

static int read_map(const char *map, uint32_t n_gpus, uint32_t *home,
		    const char **wrong)
{
	const struct homes_names all = {n_gpus, 4, name_of, pci_of, NULL};

	return homes_read_map(map, &all, home, wrong);
}

static void maps(void)
{
	static const char *const bad[] = {
		"0=eth9",	"0=eth",	"0",
		"=eth1",	"x=eth1",	"0=eth12",
		"0:eth1",	"0=",		"-1=eth1",
		"1x=eth1",	"04:00.0=eth1", "0000:04:00.0=eth9",
		"0000:04:00.0",
	};
	uint32_t home[8] = {0, 0, 1, 1, 2, 2, 3, 3};
	const char *wrong = NULL;

	CHECK_EQ(read_map("0=eth4, 7=eth1", 8, home, &wrong), 2);
	CHECK_EQ(home[0], 3);
	CHECK_EQ(home[1], 0);
	CHECK_EQ(home[7], 0);
	CHECK_EQ(read_map("", 8, home, &wrong), 0);
	CHECK_EQ(read_map(", ,1=eth4,,2=eth1, ", 8, home, &wrong), 2);
	CHECK_EQ(home[1], 3);
	CHECK_EQ(home[2], 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		CHECK_EQ(read_map(bad[i], 8, home, &wrong), -1);
		CHECK(wrong == bad[i]);
	}
	CHECK_EQ(read_map("0=eth1,1=no", 8, home, &wrong), -1);
	CHECK_STR(wrong, "1=no");
}

/* One map for a whole host, also for processes that see one GPU of it. */
static void map_of_the_host(void)
{
	uint32_t home[2] = {HOME_NONE, HOME_NONE};
	const char *wrong = NULL;

	CHECK_EQ(read_map("0=eth1,1=eth2,2=eth3,7=eth4", 1, home, &wrong), 1);
	CHECK_EQ(home[0], 0);
	CHECK_EQ(home[1], HOME_NONE);
	CHECK_EQ(read_map("3=nowhere,4=eth1", 2, home, &wrong), 0);
	/* In any case, with the domain as drivers write it. */
	CHECK_EQ(read_map("0000:8B:00.0=eth4,00000000:05:00.0=eth3", 2, home,
			  &wrong),
		 1);
	CHECK_EQ(home[0], 0);
	CHECK_EQ(home[1], 2);
}

static void guesses(void)
{
	uint32_t home[5] = {HOME_NONE, 1, HOME_NONE, HOME_NONE, HOME_NONE};

	homes_guess(5, 3, home);
	CHECK_EQ(home[0], 0);
	CHECK_EQ(home[1], 1);
	CHECK_EQ(home[2], 2);
	CHECK_EQ(home[3], 0);
	CHECK_EQ(home[4], 1);
}

static void no_such_xml(void)
{
	struct topo_map *map = NULL;

	CHECK_STATUS(topo_map_load("<topology>", &map), TCPX_EINVAL);
	CHECK(map == NULL);
}

static void this_host(void)
{
	struct topo_map *map;

	CHECK_STATUS(topo_map_load(NULL, &map), TCPX_OK);
	CHECK_EQ(topo_map_distance(map, "ffff:ff:1f.7", "ffff:ff:1f.6"),
		 TOPO_UNKNOWN);
	DIR *dir = opendir("/sys/bus/pci/devices");
	struct dirent *entry;
	/* Every device is on the map. */
	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			CHECK_EQ(topo_map_distance(map, entry->d_name,
						   entry->d_name),
				 0);
	if (dir)
		closedir(dir);
	topo_map_free(map);
}

static const struct check_case cases[] = {
	{"a3_distances", a3_distances, 0},
	{"a3_cpus", a3_cpus, 0},
	{"a3_homes", a3_homes, 0},
	{"a3_mesh", a3_mesh, 0},
	{"a3_mesh_of_processes", a3_mesh_of_processes, 0},
	{"other_index", other_index, 0},
	{"ties_are_shared", ties_are_shared, 0},
	{"maps", maps, 0},
	{"map_of_the_host", map_of_the_host, 0},
	{"guesses", guesses, 0},
	{"no_such_xml", no_such_xml, 0},
	{"this_host", this_host, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
