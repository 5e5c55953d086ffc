/* SPDX-License-Identifier: Apache-2.0 */
#include <stdatomic.h>
#include <stdio.h>
#include <tcpx/status.h>

#include "transport/netplugin/comm.h"

static uint64_t mix(uint64_t x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9u;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

static bool inside(const struct comm *comm,
		   const struct netplugin_unpack_entry *e)
{
	return e->len_bytes > 0 && e->dst_off < comm->chunk_bytes &&
	       e->len_bytes <= comm->chunk_bytes - e->dst_off &&
	       e->len_bytes <= comm->pool_bytes &&
	       e->src_off <= comm->pool_bytes - e->len_bytes;
}

static bool joins(const struct transport_fragment *last,
		  const struct netplugin_unpack_entry *e)
{
	return last->src_off + last->len_bytes == e->src_off &&
	       last->dst_off + last->len_bytes == e->dst_off;
}

/*
 * Entries come in any order when a request spans several sockets, and offsets
 * are the peer's claim. That they cover [0, len) exactly once is seen without
 * sorting: every place but 0 and len must be an end as often as it is a
 * beginning. As all entries go forwards, they then make one path from 0 to
 * len. The comparison is one of keyed sums.
 */
int comm_unpack_list(const struct comm *comm, uint32_t slot,
		     struct transport_fragment *fragments,
		     uint32_t *n_fragments, uint32_t *len_bytes, char *why,
		     size_t cap_bytes)
{
	const struct netplugin_unpack_entry *entries =
		comm->meta->entries[slot];
	uint64_t key = comm->hash_key, balance = 0, sum = 0;
	uint32_t n = 0;

	/* The count is stored last, with a release, inside test(). */
	uint64_t count =
		__atomic_load_n(&comm->meta->counts[slot], __ATOMIC_ACQUIRE);
	if (count > NETPLUGIN_UNPACK_ENTRIES) {
		snprintf(why, cap_bytes, "a scatter list of %llu entries",
			 (unsigned long long)count);
		return TCPX_EPROTO;
	}
	for (uint32_t i = 0; i < count; i++) {
		struct netplugin_unpack_entry e = entries[i];

		if (!inside(comm, &e)) {
			snprintf(why, cap_bytes,
				 "scatter entry %u of %llu is out of bounds: "
				 "%u bytes from %u to %llu",
				 i, (unsigned long long)count, e.len_bytes,
				 e.src_off, (unsigned long long)e.dst_off);
			return TCPX_EPROTO;
		}
		balance += mix(key + e.dst_off + e.len_bytes) -
			   mix(key + e.dst_off);
		sum += e.len_bytes;
		if (n && joins(&fragments[n - 1], &e)) {
			fragments[n - 1].len_bytes += e.len_bytes;
			continue;
		}
		fragments[n++] = (struct transport_fragment){
			e.src_off, e.dst_off, e.len_bytes};
	}
	if (sum > comm->chunk_bytes || balance != mix(key + sum) - mix(key)) {
		snprintf(why, cap_bytes,
			 "a scatter list of %llu bytes that overlaps or has "
			 "holes",
			 (unsigned long long)sum);
		return TCPX_EPROTO;
	}
	*n_fragments = n;
	*len_bytes = (uint32_t)sum;
	return TCPX_OK;
}
