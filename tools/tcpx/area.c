/* SPDX-License-Identifier: Apache-2.0 */
#include "area.h"

#include "common/size.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

static const char *const names[] = {
	[PLACE_HOST] = "host",
	[PLACE_GPU] = "gpu",
	[PLACE_CUDA] = "cuda",
};

int place_parse(const char *text, struct place *place)
{
	const char *colon = strchr(text, ':');
	size_t n = colon ? (size_t)(colon - text) : strlen(text);
	uint64_t index = 0;

	for (unsigned i = 0; i < 3; i++) {
		if (strlen(names[i]) != n || strncmp(names[i], text, n))
			continue;
		if (colon &&
		    (i == PLACE_HOST || number_parse(colon + 1, 0, 63, &index)))
			return -1;
		*place = (struct place){(enum place_kind)i, (uint32_t)index};
		return 0;
	}
	return -1;
}

const char *place_format(const struct place *place, char *buf)
{
	if (place->kind == PLACE_HOST)
		snprintf(buf, PLACE_TEXT_MAX, "host");
	else
		snprintf(buf, PLACE_TEXT_MAX, "%s:%u", names[place->kind],
			 place->index);
	return buf;
}

int place_check(struct tcpx_session *session, const struct place *place,
		char *why, size_t cap_bytes)
{
	struct tcpx_gpu_info info = {.size_bytes = sizeof(info)};
	char reason[160] = "";
	uint32_t n;

	if (place->kind == PLACE_HOST)
		return 0;
	n = tcpx_gpu_count(session, reason, sizeof(reason));
	if (place->index >= n) {
		snprintf(why, cap_bytes, "no GPU %u here: %s", place->index,
			 n ? "there are fewer" : reason);
		return TCPX_ENOENT;
	}
	if (place->kind == PLACE_GPU ||
	    (!tcpx_gpu_info(session, place->index, &info) &&
	     !strncmp(info.driver, "cuda", 4)))
		return 0;
	snprintf(why, cap_bytes, "GPU %u is not CUDA's, its driver is \"%s\"",
		 place->index, info.driver);
	return TCPX_ENOENT;
}

void *pages_take(uint64_t len_bytes)
{
	void *pages = mmap(NULL, len_bytes, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return pages == MAP_FAILED ? NULL : pages;
}

void pages_give(void *pages, uint64_t len_bytes)
{
	if (pages)
		munmap(pages, len_bytes);
}

static int take_device(struct area *area, char *why, size_t cap_bytes)
{
	int status = place_check(area->session, &area->place, why, cap_bytes);

	if (status)
		return status;
	status = tcpx_gpu_alloc(area->session, area->place.index,
				area->len_bytes, &area->mem);
	if (status)
		snprintf(why, cap_bytes, "%llu bytes on GPU %u: %s",
			 (unsigned long long)area->len_bytes, area->place.index,
			 tcpx_strerror(status));
	return status;
}

int area_take(struct area *area, struct tcpx_session *session,
	      const struct place *place, uint64_t len_bytes, char *why,
	      size_t cap_bytes)
{
	struct area a = {
		.session = session, .place = *place, .len_bytes = len_bytes};
	int status;

	a.host = pages_take(len_bytes);
	if (!a.host) {
		snprintf(why, cap_bytes, "%llu bytes of memory cannot be had",
			 (unsigned long long)len_bytes);
		return TCPX_ENOMEM;
	}
	a.mem = a.host;
	status = place->kind == PLACE_HOST ? 0 :
					     take_device(&a, why, cap_bytes);
	if (status)
		pages_give(a.host, len_bytes);
	else
		*area = a;
	return status;
}

void area_give(struct area *area)
{
	if (area->host && area->mem != area->host)
		tcpx_gpu_free(area->session, area->place.index, area->mem);
	pages_give(area->host, area->len_bytes);
	memset(area, 0, sizeof(*area));
}

int area_push(struct area *area)
{
	if (!area->host || area->mem == area->host)
		return 0;
	return tcpx_gpu_copy(area->session, area->place.index, area->mem,
			     area->host, area->len_bytes);
}

int area_pull(struct area *area)
{
	if (!area->host || area->mem == area->host)
		return 0;
	return tcpx_gpu_copy(area->session, area->place.index, area->host,
			     area->mem, area->len_bytes);
}
