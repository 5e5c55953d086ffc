/* SPDX-License-Identifier: Apache-2.0 */
#include "segments.h"

#include <new>
#include <unordered_set>

#include "memory.h"

static bool touches(const struct tcpx_segment &last,
		    const struct tcpx_segment &next)
{
	return last.local_off + last.len_bytes == next.local_off &&
	       last.remote_off + last.len_bytes == next.remote_off &&
	       last.local_mem == next.local_mem &&
	       last.remote_mem == next.remote_mem;
}

descriptors::descriptors(const abi::meta_list &local,
			 const abi::meta_list &remote)
	: near_(local.items.data()), far_(remote.items.data()),
	  n_(local.items.size()), bad_(remote.items.size() != n_)
{
	if (bad_)
		n_ = 0;
	/* So that nothing is left if all are empty. */
	while (at_ < n_ && !near_[at_].len_bytes && !far_[at_].len_bytes)
		at_++;
}

size_t descriptors::next(struct tcpx_segment *rows, size_t max)
{
	size_t n = 0, at = at_;
	uint64_t bytes = 0;

	for (; at < n_; at++) {
		const abi::meta_desc &near = near_[at], &far = far_[at];
		const struct memory *here = memory_of(near.md);
		const struct memory *there = memory_of(far.md);

		if (near.len_bytes != far.len_bytes || !here || !there) {
			bad_ = true;
			n_ = at;
			return 0;
		}
		if (!near.len_bytes)
			continue;
		const struct tcpx_segment row = {
			here->mem, near.addr - here->base, there->mem,
			far.addr - there->base, near.len_bytes};

		if (n && touches(rows[n - 1], row)) {
			rows[n - 1].len_bytes += row.len_bytes;
		} else {
			if (n == max)
				break;
			rows[n++] = row;
		}
		bytes += row.len_bytes;
	}
	at_ = at;
	total_bytes_ += bytes;
	return n;
}

bool segments::fill(const abi::meta_list &local, const abi::meta_list &remote)
{
	descriptors from(local, remote);
	size_t most = from.left();

	clear();
	if (!most)
		return !from.is_bad();
	rows_.reset(static_cast<struct tcpx_segment *>(
		malloc(most * sizeof(*rows_.get()))));
	if (!rows_)
		throw std::bad_alloc();
	n_ = from.next(rows_.get(), most);
	total_bytes_ = from.total_bytes();
	return !from.is_bad();
}

void segments::clear()
{
	rows_.reset();
	n_ = 0;
	total_bytes_ = 0;
}

size_t segments::part_end(size_t first, bool many_regions) const
{
	std::unordered_set<uint64_t> near, far;
	size_t end = first;
	uint64_t bytes = 0;

	if (n_ <= TCPX_SEGMENTS_MAX && total_bytes_ <= TCPX_XFER_MAX &&
	    !many_regions)
		return n_;
	for (end = first; end < n_ && end - first < TCPX_SEGMENTS_MAX; end++) {
		const struct tcpx_segment &row = rows()[end];

		bytes += row.len_bytes;
		if (end > first && bytes > TCPX_XFER_MAX)
			break;
		if (!many_regions)
			continue;
		near.insert(row.local_mem);
		far.insert(row.remote_mem);
		if (near.size() > TCPX_REGIONS_MAX ||
		    far.size() > TCPX_REGIONS_MAX)
			break;
	}
	return end;
}
