/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "relay.h"

static uint64_t mix(uint64_t x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9ull;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

/* Uniform in [0, 1). */
static double draw(struct shape *shape)
{
	shape->rng += 0x9e3779b97f4a7c15ull;
	return (double)(mix(shape->rng) >> 11) * 0x1p-53;
}

static uint64_t hash_bytes(uint64_t hash, const uint8_t *data, size_t n)
{
	while (n--)
		hash = mix(hash ^ *data++);
	return hash;
}

static bool has_ports(uint8_t protocol)
{
	return protocol == 6 || protocol == 17;
}

static uint64_t hash_ipv4(const uint8_t *data, uint32_t len_bytes)
{
	uint32_t header = (data[0] & 15u) * 4;
	uint64_t hash = hash_bytes(data[9], data + 12, 8);
	bool fragment = (data[6] & 0x1f) || data[7];

	if (!fragment && has_ports(data[9]) && len_bytes >= header + 4)
		hash = hash_bytes(hash, data + header, 4);
	return hash;
}

static uint64_t hash_ipv6(const uint8_t *data, uint32_t len_bytes)
{
	uint64_t hash = hash_bytes(data[6], data + 8, 32);

	if (has_ports(data[6]) && len_bytes >= 44)
		hash = hash_bytes(hash, data + 40, 4);
	return hash;
}

uint64_t shape_flow_hash(const uint8_t *data, uint32_t len_bytes)
{
	if (len_bytes >= 20 && data[0] >> 4 == 4)
		return hash_ipv4(data, len_bytes);
	if (len_bytes >= 40 && data[0] >> 4 == 6)
		return hash_ipv6(data, len_bytes);
	return 0;
}

/*
 * A line of this rate that is free again at *free_ns: the packet starts when
 * the line is free and leaves when its last bit has. False: it would wait
 * longer than the queue is deep.
 */
static bool occupy_line(uint64_t *free_ns, double rate_bps, double queue_ms,
			uint32_t len_bytes, uint64_t *when_ns)
{
	uint64_t start = *free_ns > *when_ns ? *free_ns : *when_ns;

	if (rate_bps <= 0)
		return true;
	if ((double)(start - *when_ns) > queue_ms * 1e6)
		return false;
	*free_ns = start + (uint64_t)(len_bytes * 8.0 / rate_bps * 1e9);
	*when_ns = *free_ns;
	return true;
}

bool shape_packet(struct shape *shape, const struct shape_settings *settings,
		  const uint8_t *data, uint32_t len_bytes, uint64_t now_ns,
		  uint64_t *leave_ns)
{
	uint64_t flow, when = now_ns;

	if (settings->loss_percent > 0 &&
	    draw(shape) * 100 < settings->loss_percent)
		return false;
	flow = shape_flow_hash(data, len_bytes) % SHAPE_FLOWS;
	if (!occupy_line(&shape->flow_free_ns[flow], settings->flow_rate_bps,
			 settings->queue_ms, len_bytes, &when))
		return false;
	if (!occupy_line(&shape->link_free_ns, settings->link_rate_bps,
			 settings->queue_ms, len_bytes, &when))
		return false;
	when += (uint64_t)(settings->delay_ms * 1e6);
	if (settings->jitter_ms > 0 &&
	    draw(shape) * 100 < settings->jitter_percent)
		when += (uint64_t)(settings->jitter_ms * 1e6 * draw(shape));
	*leave_ns = when;
	return true;
}

bool shape_parse_rate(const char *text, double *rate_bps)
{
	static const char units[] = "KMG";
	char *end;
	double rate = strtod(text, &end);
	const char *unit = *end ? strchr(units, *end & ~0x20) : NULL;

	if (end == text || !(rate >= 0))
		return false;
	if (*end && (!unit || end[1]))
		return false;
	for (; unit && unit >= units; unit--)
		rate *= 1000;
	*rate_bps = rate;
	return true;
}
