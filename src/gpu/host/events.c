/* SPDX-License-Identifier: Apache-2.0 */
#include "base/atomic.h"
#include "gpu/host/host.h"

#define EVENTS_MAX 256u

/* state = generation * 2 + taken; an event is generation << 32 | number + 1,
 * so that one destroyed is not taken for its successor. */
static struct {
	_Atomic uint32_t state;
	_Atomic uint32_t fired; /* the generation that is, + 1 */
} events[EVENTS_MAX];

static uint32_t number_of(uintptr_t event)
{
	return (uint32_t)event - 1;
}

static uint32_t generation_of(uintptr_t event)
{
	return (uint32_t)((uint64_t)event >> 32);
}

uintptr_t gpu_host_event_create(void)
{
	for (uint32_t i = 0; i < EVENTS_MAX; i++) {
		uint32_t state = load_relaxed(&events[i].state);

		if (state % 2 == 0 &&
		    cas_acquire(&events[i].state, state, state + 1))
			return (uintptr_t)((uint64_t)(state / 2) << 32 |
					   (i + 1));
	}
	return 0;
}

bool gpu_host_event_valid(uintptr_t event)
{
	return number_of(event) < EVENTS_MAX &&
	       load_acquire(&events[number_of(event)].state) ==
		       generation_of(event) * 2 + 1;
}

/* Release, with the acquire in passed(): what the program wrote before, the
 * device reads afterwards. */
void gpu_host_event_fire(uintptr_t event)
{
	if (gpu_host_event_valid(event))
		store_release(&events[number_of(event)].fired,
			      generation_of(event) + 1);
}

void gpu_host_event_destroy(uintptr_t event)
{
	if (gpu_host_event_valid(event))
		(void)add_acq_rel(&events[number_of(event)].state, 1);
}

bool gpu_host_event_passed(uintptr_t event)
{
	return !gpu_host_event_valid(event) ||
	       load_acquire(&events[number_of(event)].fired) ==
		       generation_of(event) + 1;
}
