/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PLUGINS_NIXL_SEGMENTS_H
#define PLUGINS_NIXL_SEGMENTS_H

/*
 * NIXL's two lists of descriptors as the library's one list of segments.
 * Neighbours that touch on both sides become one; empty ones vanish.
 */

#include <cstddef>
#include <cstdlib>
#include <memory>

#include <tcpx/p2p.h>

#include "abi.h"

/* Reads both lists once, from the first descriptor to the last. They stay
 * NIXL's. */
class descriptors
{
      public:
	descriptors(const abi::meta_list &local, const abi::meta_list &remote);

	/* Descriptors to come, at most. */
	size_t left() const
	{
		return n_ - at_;
	}
	/* The next segments, up to max; 0: there are no more. */
	size_t next(struct tcpx_segment *rows, size_t max);
	/* Of what was read. */
	uint64_t total_bytes() const
	{
		return total_bytes_;
	}
	/* The lists do not match, or name what is not registered. */
	bool is_bad() const
	{
		return bad_;
	}

      private:
	const abi::meta_desc *near_, *far_;
	size_t n_, at_ = 0;
	uint64_t total_bytes_ = 0;
	bool bad_;
};

/* All of them at once, where they cannot be handed on yet or are too many. */
class segments
{
      public:
	/* False: the lists do not match. Throws bad_alloc. */
	bool fill(const abi::meta_list &local, const abi::meta_list &remote);
	void clear();
	const struct tcpx_segment *rows() const
	{
		return rows_.get();
	}
	size_t size() const
	{
		return n_;
	}
	/* Rows [first, returned) fit into one transfer. many_regions: the
	 * lists may name more regions than a transfer can. */
	size_t part_end(size_t first, bool many_regions) const;

      private:
	struct freeing {
		void operator()(void *rows) const
		{
			std::free(rows);
		}
	};

	/* Not set to zero first: touching new memory costs as much as filling
	 * it. */
	std::unique_ptr<struct tcpx_segment, freeing> rows_;
	size_t n_ = 0;
	uint64_t total_bytes_ = 0;
};

#endif
