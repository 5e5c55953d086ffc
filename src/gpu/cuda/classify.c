/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <tcpx/status.h>

#include "base/usermem.h"
#include "gpu/cuda/device.h"

/*
 * A range is walked from mapping to mapping, because one range of addresses
 * may consist of many physical pieces (frameworks grow their segments so) and
 * may have holes. The driver answers for any address: what it does not know
 * is ordinary host memory to it, also where device memory has been freed.
 */

struct place {
	struct CUctx_st *ctx;
	int type; /* 0: the driver does not know it */
	int managed; /* bool */
	int device;
	int mapped; /* bool */
	uint64_t range_start, range_bytes;
	uint64_t mapping_start, mapping_bytes;
};

/* TCPX_EINVAL, or TCPX_EGPU: the driver answers nothing, after a failure of the
 * current context's or in a process that was forked. */
static int look(uint64_t at, struct place *place, char *why, size_t cap_bytes)
{
	struct place p = {.device = -1, .mapped = 1};
	int attributes[] = {CUDA_PTR_CONTEXT,	   CUDA_PTR_MEMORY_TYPE,
			    CUDA_PTR_IS_MANAGED,   CUDA_PTR_DEVICE,
			    CUDA_PTR_MAPPED,	   CUDA_PTR_RANGE_START,
			    CUDA_PTR_RANGE_BYTES,  CUDA_PTR_MAPPING_START,
			    CUDA_PTR_MAPPING_BYTES};
	void *values[] = {&p.ctx,	  &p.type,	    &p.managed,
			  &p.device,	  &p.mapped,	    &p.range_start,
			  &p.range_bytes, &p.mapping_start, &p.mapping_bytes};
	cuda_result rc =
		cuda_api.pointer(sizeof(attributes) / sizeof(*attributes),
				 attributes, values, at);
	char text[160];

	if (rc != CUDA_SUCCESS) {
		cuda_describe(rc, text, sizeof(text));
		snprintf(why, cap_bytes, "cannot tell whose memory it is: %s",
			 text);
		return rc == CUDA_INVALID_VALUE ? TCPX_EINVAL : TCPX_EGPU;
	}
	*place = p;
	return TCPX_OK;
}

/* Where what holds `at` ends, allocation or mapping, whichever is first: a small
 * allocation is a part of a mapping, and one range may be of many mappings. At
 * itself if nobody says. */
static uint64_t end_of(const struct place *place, uint64_t at)
{
	uint64_t range = place->range_start + place->range_bytes;
	uint64_t mapping = place->mapping_start + place->mapping_bytes;

	if (range <= at)
		return mapping > at ? mapping : at;
	return mapping > at && mapping < range ? mapping : range;
}

static bool is_device(const struct place *place)
{
	return place->type == CUDA_MEMORY_DEVICE;
}

/* Device memory of a context of its own, or without access, would take the
 * context down when a kernel touches it: found out here. */
static int check_reach(const struct place *place, uint64_t at, char *why,
		       size_t cap_bytes)
{
	int attribute = CUDA_PTR_ACCESS, access = -1, active = 0;
	void *value = &access;
	struct CUctx_st *primary, *old;
	unsigned int flags;
	bool foreign;

	if (cuda_api.primary_state(place->device, &flags, &active) != 0 ||
	    !active || cuda_api.primary_retain(&primary, place->device) != 0) {
		/* To open the device would make the context, which takes
		 * memory of it and is the program's to decide. */
		snprintf(why, cap_bytes,
			 "device memory of a context that is not its device's "
			 "primary one, which nobody has made");
		return TCPX_EINVAL;
	}
	foreign = place->ctx && place->ctx != primary;
	if (!foreign && cuda_api.ctx_push(primary) == 0) {
		(void)cuda_api.pointer(1, &attribute, &value, at);
		(void)cuda_api.ctx_pop(&old);
	}
	(void)cuda_api.primary_release(place->device);
	if (foreign)
		snprintf(why, cap_bytes,
			 "device memory of a context that is "
			 "not its device's primary one");
	else if (access >= 0 && access != CUDA_ACCESS_READ_WRITE)
		snprintf(why, cap_bytes,
			 "device memory that its device has "
			 "no right to read and write");
	else
		return TCPX_OK;
	return TCPX_EINVAL;
}

static int refuse_rest(const struct place *first, const struct place *place,
		       uint64_t off, char *why, size_t cap_bytes)
{
	if (!is_device(place) || !place->mapped)
		snprintf(why, cap_bytes,
			 "device memory that ends, or has a hole or was freed, "
			 "at byte %llu of the range",
			 (unsigned long long)off);
	else if (place->managed)
		snprintf(why, cap_bytes, "managed memory from byte %llu on",
			 (unsigned long long)off);
	else
		snprintf(why, cap_bytes,
			 "memory of device %d, and of device %d from byte %llu "
			 "on",
			 first->device, place->device, (unsigned long long)off);
	return TCPX_EINVAL;
}

static int walk_device(const struct place *first, uint64_t addr, uint64_t end,
		       char *why, size_t cap_bytes)
{
	uint64_t at = end_of(first, addr);
	struct place place;
	int rc;

	if (at == addr) {
		/* No extent known: at least the last byte must be alike. */
		at = end - 1;
	}
	while (at < end) {
		uint64_t next;

		rc = look(at, &place, why, cap_bytes);
		if (rc)
			return rc;
		if (!is_device(&place) || !place.mapped || place.managed ||
		    place.device != first->device)
			return refuse_rest(first, &place, at - addr, why,
					   cap_bytes);
		rc = check_reach(&place, at, why, cap_bytes);
		if (rc)
			return rc;
		next = end_of(&place, at);
		at = next > at ? next : end;
	}
	return TCPX_OK;
}

static bool is_readable(uint64_t addr, uint64_t end)
{
	return usermem_can_read((const void *)(uintptr_t)addr, end - addr);
}

/* The first byte is not device memory, so the last one must not be. */
static int check_host(const struct place *first, uint64_t addr, uint64_t end,
		      char *why, size_t cap_bytes)
{
	struct place last;
	int rc = look(end - 1, &last, why, cap_bytes);

	if (rc)
		return rc;
	if (is_device(&last)) {
		snprintf(why, cap_bytes,
			 "a range that begins outside device "
			 "memory and ends in it");
		return TCPX_EINVAL;
	}
	if (first->type == CUDA_MEMORY_HOST)
		return TCPX_OK;
	if (!is_readable(addr, end)) {
		snprintf(why, cap_bytes,
			 "neither device memory nor readable host memory "
			 "(freed device memory?)");
		return TCPX_EINVAL;
	}
	return TCPX_OK;
}

uint64_t cuda_extent(uint64_t at, uint64_t len_bytes)
{
	struct place place;
	char why[256];
	uint64_t extent;

	if (look(at, &place, why, sizeof(why)) != 0)
		return len_bytes;
	extent = end_of(&place, at) - at;
	return extent && extent < len_bytes ? extent : len_bytes;
}

static int ask_driver(uint64_t at, uint64_t end, enum gpu_mem_kind *kind,
		      uint32_t *index, char *why, size_t cap_bytes)
{
	struct place first;
	int rc = look(at, &first, why, cap_bytes);

	if (rc)
		return rc;
	if (first.managed) {
		snprintf(why, cap_bytes,
			 "managed memory, whose pages wander between host and "
			 "device; use device or host memory");
		return TCPX_EINVAL;
	}
	if (!is_device(&first)) {
		rc = check_host(&first, at, end, why, cap_bytes);
		if (rc == 0)
			*kind = GPU_MEM_HOST;
		return rc;
	}
	if (!first.mapped)
		return refuse_rest(&first, &first, 0, why, cap_bytes);
	rc = check_reach(&first, at, why, cap_bytes);
	if (rc == 0)
		rc = walk_device(&first, at, end, why, cap_bytes);
	if (rc)
		return rc;
	*kind = GPU_MEM_DEVICE;
	*index = (uint32_t)first.device;
	return TCPX_OK;
}

int cuda_classify(const void *addr, uint64_t len_bytes, enum gpu_mem_kind *kind,
		  uint32_t *index, char *why, size_t cap_bytes)
{
	uint64_t at = (uintptr_t)addr, end = at + len_bytes;
	int rc = ask_driver(at, end, kind, index, why, cap_bytes);

	/* What the CPU can read needs no driver. */
	if (rc == TCPX_EGPU && is_readable(at, end)) {
		*kind = GPU_MEM_HOST;
		rc = TCPX_OK;
	}
	return rc;
}
