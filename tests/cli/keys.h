/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CLI_KEYS_H
#define TESTS_CLI_KEYS_H

/* The keys docs/json.md promises, for cli_keys(). */

#define CASE_KEYS                                                              \
	"case:s op:s bytes:i segment_bytes:i segments:i transport:s rails:i "  \
	"flows:i mem:s peer_mem:s outstanding:i both_directions:b wait:s "     \
	"transfers:i gigabytes_per_s:n? p50_us:n? p99_us:n? "                  \
	"cpu_s_per_gigabyte:n? ceiling_gigabytes_per_s:n? ceiling_p50_us:n? "  \
	"ceiling_p99_us:n? ceiling_cpu_s_per_gigabyte:n? ratio:n? checked:b "  \
	"verified:b failure:s? seed:i"

#define PERF_KEYS                                                              \
	"settings:o cases:a cut:a path:o nic_counters:a devmem_packets:i? held:b"

#define SWEEP_POINT_KEYS                                                       \
	"chunk_bytes:i? window_chunks:i? channels:i? case:o? cut:a "           \
	"failure:s? held:b"

#define SINGLE_KEYS                                                            \
	"settings:o op:s bytes:i mem:s peer_mem:s transport:s rails:i "        \
	"flows:i took_us:n? verified:b failed_at:s? failure:s? cut:a path:o "  \
	"nic_counters:a devmem_packets:i? held:b"

#define MESH_KEYS                                                              \
	"settings:o devices:a pairs:a matrix:a slowest:o? fastest:o? "         \
	"median_gigabytes_per_s:n? failure:s? held:b"
#define MESH_SETTINGS_KEYS                                                     \
	"version:s ranks:i op:s bytes:i iterations:i warmup:i outstanding:i "  \
	"verify:b wait:s seed:i session:o"
#define MESH_DEVICE_KEYS "device:i rank:i host:s name:s mem:s gpu:s pci:s"
#define MESH_PAIR_KEYS                                                         \
	"from:i to:i gigabytes_per_s:n? p50_us:n? p99_us:n? transport:s? "     \
	"rails:i flows:i verified:b failure:s?"

#define KILL_KEYS                                                              \
	CASE_KEYS " moved_gigabytes:n failed_after_ms:n status:s cause:s"

#define PERF_SETTINGS_KEYS                                                     \
	"version:s server:s op:s size_first_bytes:i size_last_bytes:i "        \
	"segments:i outstanding:i both_directions:b mem:s peer_mem:s "         \
	"duration_s:n count:i warmup:i rounds:i ceiling:b verify:b wait:s "    \
	"seed:i session:o"

#define DEMO_SETTINGS_KEYS                                                     \
	"version:s quick:b case_duration_s:n ceiling:b session:o path:o gpus:a"

#endif
