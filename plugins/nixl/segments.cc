/* SPDX-License-Identifier: Apache-2.0 */
#include "segments.h"

#include <atomic>
#include <cstdlib>
#include <new>
#include <unordered_set>
#include <utility>

#include <sys/mman.h>

#include "memory.h"

#define HUGE_PAGE (2ul << 20)

/* One spare buffer for all: who takes it leaves NULL. */
static std::atomic<segments *> spare;

segments::~segments()
{
	free(rows_);
}

segments::segments(segments &&other) noexcept
{
	*this = std::move(other);
}

segments &segments::operator=(segments &&other) noexcept
{
	std::swap(rows_, other.rows_);
	std::swap(n_, other.n_);
	std::swap(cap_, other.cap_);
	std::swap(total_bytes_, other.total_bytes_);
	return *this;
}

void segments::reserve(size_t cap)
{
	size_t bytes = cap * sizeof(*rows_);

	if (cap <= cap_)
		return;
	free(rows_);
	cap_ = 0;
	bytes = (bytes + 63) & ~63ul;
	if (bytes >= 2 * HUGE_PAGE) {
		bytes = (bytes + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
		rows_ = static_cast<tcpx_segment *>(
			aligned_alloc(HUGE_PAGE, bytes));
		if (rows_)
			madvise(rows_, bytes, MADV_HUGEPAGE);
	} else {
		rows_ = static_cast<tcpx_segment *>(aligned_alloc(64, bytes));
	}
	if (!rows_)
		throw std::bad_alloc();
	cap_ = bytes / sizeof(*rows_);
}

static bool touches(const struct tcpx_segment &last,
		    const struct tcpx_segment &next)
{
	return last.local_mem == next.local_mem &&
	       last.remote_mem == next.remote_mem &&
	       last.local_off + last.len_bytes == next.local_off &&
	       last.remote_off + last.len_bytes == next.remote_off;
}

bool segments::fill(const abi::meta_list &local, const abi::meta_list &remote)
{
	const abi::meta_desc *near = local.items.data();
	const abi::meta_desc *far = remote.items.data();
	size_t n = local.items.size();

	if (remote.items.size() != n)
		return false;
	reserve(n + 1);
	struct tcpx_segment *out = rows_;

	*out = {};
	total_bytes_ = 0;
	for (size_t i = 0; i < n; i++) {
		const struct memory *here = memory_of(near[i].md);
		const struct memory *there = memory_of(far[i].md);

		if (near[i].len_bytes != far[i].len_bytes || !here || !there)
			return false;
		if (!near[i].len_bytes)
			continue;
		const struct tcpx_segment next = {
			here->mem, near[i].addr - here->base, there->mem,
			far[i].addr - there->base, near[i].len_bytes};

		total_bytes_ += next.len_bytes;
		if (touches(*out, next))
			out->len_bytes += next.len_bytes;
		else
			*++out = next;
	}
	n_ = static_cast<size_t>(out - rows_);
	return true;
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

segments segments::take_spare()
{
	segments *kept = spare.exchange(nullptr, std::memory_order_acq_rel);
	segments mine;

	if (kept)
		mine = std::move(*kept);
	delete kept;
	mine.n_ = 0;
	return mine;
}

void segments::keep_spare(segments &&used)
{
	segments *kept = new (std::nothrow) segments(std::move(used));

	delete spare.exchange(kept, std::memory_order_acq_rel);
}
