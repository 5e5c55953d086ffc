/* SPDX-License-Identifier: Apache-2.0 */
#ifndef PLUGINS_NIXL_SEGMENTS_H
#define PLUGINS_NIXL_SEGMENTS_H

/*
 * NIXL's two lists of descriptors as the library's one list of segments.
 * Neighbours that touch on both sides become one; empty ones vanish.
 */

#include <cstddef>

#include <tcpx/p2p.h>

#include "abi.h"

/* Rows that are not set to zero first, and are used again: touching new
 * memory for 160,000 rows costs as much as filling them. */
class segments
{
      public:
	segments() = default;
	~segments();
	segments(const segments &) = delete;
	segments &operator=(const segments &) = delete;
	segments(segments &&other) noexcept;
	segments &operator=(segments &&other) noexcept;

	/* False: the lists do not match. Throws bad_alloc. */
	bool fill(const abi::meta_list &local, const abi::meta_list &remote);
	const struct tcpx_segment *rows() const
	{
		return rows_ + 1;
	}
	size_t size() const
	{
		return n_;
	}
	/* Rows [first, returned) fit into one transfer. many_regions: the
	 * lists may name more regions than a transfer can. */
	size_t part_end(size_t first, bool many_regions) const;

	/* Takes the spare one, if there is one, and gives it back. */
	static segments take_spare();
	static void keep_spare(segments &&used);

      private:
	void reserve(size_t cap);

	/* The first one touches nothing, so that there always is a last. */
	struct tcpx_segment *rows_ = nullptr;
	size_t n_ = 0, cap_ = 0;
	uint64_t total_bytes_ = 0;
};

#endif
