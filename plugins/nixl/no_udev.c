/* SPDX-License-Identifier: Apache-2.0 */

/*
 * hwloc's static library asks libudev for the names of disks and the like,
 * and goes without if it cannot be had. There is no static libudev, and
 * nothing of what it tells is wanted here, so this one cannot be had.
 */
#include <stddef.h>

#define HIDDEN __attribute__((visibility("hidden")))

struct udev;
struct udev_device;

HIDDEN struct udev *udev_new(void);
HIDDEN struct udev *udev_unref(struct udev *udev);
HIDDEN struct udev_device *
udev_device_new_from_subsystem_sysname(struct udev *udev, const char *subsystem,
				       const char *sysname);
HIDDEN const char *udev_device_get_property_value(struct udev_device *device,
						  const char *key);
HIDDEN struct udev_device *udev_device_unref(struct udev_device *device);

struct udev *udev_new(void)
{
	return NULL;
}

struct udev *udev_unref(struct udev *udev)
{
	return NULL;
}

struct udev_device *
udev_device_new_from_subsystem_sysname(struct udev *udev, const char *subsystem,
				       const char *sysname)
{
	return NULL;
}

const char *udev_device_get_property_value(struct udev_device *device,
					   const char *key)
{
	return NULL;
}

struct udev_device *udev_device_unref(struct udev_device *device)
{
	return NULL;
}
