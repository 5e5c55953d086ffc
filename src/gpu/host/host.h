/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GPU_HOST_HOST_H
#define GPU_HOST_HOST_H

/*
 * The pretend GPU, for machines that have none: as strict as a real one is,
 * and stricter. Device memory cannot be touched by the CPU; work ends late,
 * and out of order between streams; a copy that leaves what is allocated
 * fails the device for good, with the cause in words. Programs that cannot call
 * it bring their memory along (foreign.h). Environment:
 *
 *   TCPX_GPU_HOST_DEVICES   how many there are; 2
 *   TCPX_GPU_HOST_DELAY_US  random delay of most work, at most; 40. 0: none,
 *                           nor any other caprice: for measuring
 *   TCPX_GPU_HOST_FAULT     KIND:N[:DEVICE], what happens to the N-th launch
 *                           or copy of a device (from 1; of all devices):
 *       refuse              the call fails, and with it the device
 *       break               the device fails while it runs
 *       hang                it never ends
 *   TCPX_GPU_HOST_UNSHARED  export or open: that half of sharing others' memory
 *                           is refused
 */

#include "gpu/driver.h"

/* Events, as a program's own streams would have them. Fired once. From any
 * thread. 0: too many. */
uintptr_t gpu_host_event_create(void);
void gpu_host_event_fire(uintptr_t event);
void gpu_host_event_destroy(uintptr_t event);
bool gpu_host_event_valid(uintptr_t event);
bool gpu_host_event_passed(uintptr_t event);

#endif
