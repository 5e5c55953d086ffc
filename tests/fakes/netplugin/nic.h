/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAKES_NETPLUGIN_NIC_H
#define FAKES_NETPLUGIN_NIC_H

/*
 * The NICs of this process: those that DOUBLE_NICS makes up,
 * "eth1=127.0.0.2,eth2=127.0.0.3@/sys/devices/pci0000:00/0000:06:00.0", or
 * the interfaces of the machine. NCCL_GPUDIRECTTCPX_SOCKET_IFNAME chooses
 * among them: names that begin so, "=" for whole names, "^" for all others.
 */

#include <netinet/in.h>
#include <stdbool.h>

#define NIC_MAX 16
#define NIC_NAME_BYTES 16

struct nic {
	char name[NIC_NAME_BYTES];
	struct in_addr addr;
	char *pci_path; /* NULL: none */
	int speed_mbps;
};

/* Finds and sorts them; the count. Once. */
int nic_find(void);
int nic_count(void);
const struct nic *nic_get(int dev);
/* Where control connections go: CTRL_DEV, or the NIC itself; 0.0.0.0 if the
 * machine has no such interface. */
struct in_addr nic_control(int dev);
/* False if DOUBLE_HOME, "0:eth1,1:eth1,2:eth2", gives this GPU another NIC. */
bool nic_is_home(int dev, int gpu);
/* An address of this machine. */
bool nic_is_local(struct in_addr addr);

#endif
