/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plugin's file in a NIXL. A note beside it says that this command put
 * it there, and what it looked like, so that it can be taken away again and
 * nobody else's file ever is:
 *
 *   libplugin_TCPX.so              the plugin
 *   .libplugin_TCPX.json           the note
 *   libplugin_TCPX.so.before-tcpx  what was there before, after --force
 *
 * NIXL takes only libplugin_*.so for plugins, so it sees the first alone.
 */
#include "nixl.h"

#include "clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <tcpx/p2p.h>
#include <time.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define BACKUP_SUFFIX ".before-tcpx"
#define TEMPORARY_SUFFIX ".new"

/* The plugin carries this text, its version and a NUL after it. */
static const char mark[] = "tcpx-p2p NIXL plugin ";

struct names {
	char file[48]; /* without the directory */
	char plugin[PATH_MAX + 96];
	char note[PATH_MAX + 96];
	char backup[PATH_MAX + 96];
	char temporary[PATH_MAX + 96];
};

static void names_of(const struct nixl_place *place, struct names *names)
{
	const char *dir = place->dir, *backend = place->backend;

	snprintf(names->file, sizeof(names->file), "libplugin_%s.so", backend);
	snprintf(names->plugin, sizeof(names->plugin), "%s/libplugin_%s.so",
		 dir, backend);
	snprintf(names->note, sizeof(names->note), "%s/.libplugin_%s.json", dir,
		 backend);
	snprintf(names->backup, sizeof(names->backup),
		 "%s/libplugin_%s.so" BACKUP_SUFFIX, dir, backend);
	snprintf(names->temporary, sizeof(names->temporary),
		 "%s/.libplugin_%s.so" TEMPORARY_SUFFIX, dir, backend);
}

/* A whole file, only to be read. */
struct view {
	const void *bytes;
	size_t len_bytes;
};

static int view_open(const char *path, struct view *view)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	void *bytes;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size == 0) {
		close(fd);
		errno = EINVAL;
		return -1;
	}
	bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (bytes == MAP_FAILED)
		return -1;
	view->bytes = bytes;
	view->len_bytes = (size_t)st.st_size;
	return 0;
}

static void view_close(struct view *view)
{
	munmap((void *)view->bytes, view->len_bytes);
}

static void print_of(const struct view *view, char hex[33])
{
	XXH128_hash_t hash = XXH3_128bits(view->bytes, view->len_bytes);

	snprintf(hex, 33, "%016llx%016llx", (unsigned long long)hash.high64,
		 (unsigned long long)hash.low64);
}

/* Whether it is this plugin, of whatever version. */
static bool find_version(const struct view *view, char *version,
			 size_t cap_bytes)
{
	const char *end = (const char *)view->bytes + view->len_bytes;
	const char *at =
		memmem(view->bytes, view->len_bytes, mark, sizeof(mark) - 1);
	size_t len;

	if (!at)
		return false;
	at += sizeof(mark) - 1;
	len = strnlen(at, (size_t)(end - at));
	if (len < cap_bytes)
		snprintf(version, cap_bytes, "%.*s", (int)len, at);
	return true;
}

static const char *note_text(const json_t *note, const char *key)
{
	const char *value = json_string_value(json_object_get(note, key));

	return value ? value : "";
}

static enum nixl_owner owner_of(const struct nixl_place *place,
				const json_t *note, const char *hex)
{
	if (*place->wheel) /* whatever was noted: pip has replaced it since */
		return NIXL_WHEEL;
	if (!note)
		return NIXL_OTHER;
	return strcmp(note_text(note, "xxh3_128"), hex) ? NIXL_US_CHANGED :
							  NIXL_US;
}

void nixl_file_look(const struct nixl_place *place, const char *plugin,
		    struct nixl_file *file)
{
	char hex[33], at_hand[33];
	struct names names;
	struct view view;
	json_t *note;

	memset(file, 0, sizeof(*file));
	names_of(place, &names);
	file->backup = access(names.backup, F_OK) == 0;
	if (view_open(names.plugin, &view)) {
		/* A link to nowhere, or a directory, is somebody's too. */
		struct stat st;

		if (lstat(names.plugin, &st) == 0)
			file->owner = NIXL_OTHER;
		return;
	}
	note = json_load_file(names.note, 0, NULL);
	print_of(&view, hex);
	file->owner = owner_of(place, note, hex);
	file->ours = find_version(&view, file->version, sizeof(file->version));
	if (file->owner == NIXL_US && !*file->version)
		snprintf(file->version, sizeof(file->version), "%s",
			 note_text(note, "version"));
	json_decref(note);
	view_close(&view);
	if (!plugin || !*plugin || view_open(plugin, &view))
		return;
	print_of(&view, at_hand);
	view_close(&view);
	file->current = !strcmp(hex, at_hand);
}

static int write_all(int fd, const struct view *view)
{
	const char *at = view->bytes;
	size_t left = view->len_bytes;

	while (left > 0) {
		ssize_t n = write(fd, at, left);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		at += n;
		left -= (size_t)n;
	}
	return fsync(fd);
}

/* A whole copy under another name, then renamed: a process that starts
 * meanwhile never maps half a plugin, and one that has the old file mapped
 * keeps it. */
static int put_file(const struct view *view, const struct names *names)
{
	int fd, error;

	unlink(names->temporary);
	fd = open(names->temporary,
		  O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0755);
	if (fd < 0)
		return -1;
	if (write_all(fd, view) || fchmod(fd, 0755)) {
		error = errno;
		close(fd);
		unlink(names->temporary);
		errno = error;
		return -1;
	}
	close(fd);
	if (rename(names->temporary, names->plugin) == 0)
		return 0;
	error = errno;
	unlink(names->temporary);
	errno = error;
	return -1;
}

static int put_note(const struct names *names, const char *plugin,
		    const char *hex, const char *version)
{
	json_t *note = json_pack("{ss ss ss ss sI}", "by", "tcpx nixl install",
				 "version", *version ? version : tcpx_version(),
				 "from", plugin, "xxh3_128", hex, "unix_s",
				 (json_int_t)time(NULL));
	int failed = json_dump_file(note, names->note, JSON_INDENT(2));

	json_decref(note);
	return failed;
}

static const char *failed(char *why, size_t cap_bytes, const char *what,
			  const char *path)
{
	snprintf(why, cap_bytes, "%s %s: %s", what, path, strerror(errno));
	return NULL;
}

/* May the file that is there be replaced? Puts it aside if it must be kept. */
static int make_room(const struct nixl_place *place,
		     const struct nixl_file *file, const struct names *names,
		     bool force, char *why, size_t cap_bytes)
{
	if (file->owner == NIXL_NOBODY || file->owner == NIXL_US)
		return 0;
	if (file->owner == NIXL_WHEEL) {
		snprintf(why, cap_bytes,
			 "the file there belongs to the wheel %s: update it "
			 "by pip",
			 place->wheel);
		return -1;
	}
	if (!force) {
		snprintf(why, cap_bytes,
			 "%s is there already and is not from this command%s; "
			 "--force puts it aside",
			 names->file,
			 file->ours ? " (a copy of this plugin)" : "");
		return -1;
	}
	if (file->backup) {
		snprintf(why, cap_bytes,
			 "%s is there already, and so is an older one put "
			 "aside, %s%s: move one of them away",
			 names->file, names->file, BACKUP_SUFFIX);
		return -1;
	}
	if (rename(names->plugin, names->backup) == 0)
		return 0;
	failed(why, cap_bytes, "cannot put aside", names->plugin);
	return -1;
}

const char *nixl_file_install(const struct nixl_place *place,
			      const char *plugin, bool force, char *why,
			      size_t cap_bytes)
{
	char hex[33], version[32] = "";
	struct nixl_file file;
	struct names names;
	struct view view;
	bool put;

	names_of(place, &names);
	nixl_file_look(place, plugin, &file);
	if (file.current && file.owner != NIXL_US_CHANGED)
		return "unchanged";
	if (view_open(plugin, &view))
		return failed(why, cap_bytes, "cannot read", plugin);
	print_of(&view, hex);
	find_version(&view, version, sizeof(version));
	if (make_room(place, &file, &names, force, why, cap_bytes)) {
		view_close(&view);
		return NULL;
	}
	put = put_file(&view, &names) == 0;
	view_close(&view);
	if (!put) {
		failed(why, cap_bytes, "cannot write", names.plugin);
		if (!file.backup && access(names.plugin, F_OK))
			rename(names.backup, names.plugin);
		return NULL;
	}
	if (put_note(&names, plugin, hex, version))
		return failed(why, cap_bytes, "cannot write", names.note);
	return file.owner == NIXL_NOBODY ? "installed" : "replaced";
}

const char *nixl_file_remove(const struct nixl_place *place, bool force,
			     char *why, size_t cap_bytes)
{
	struct nixl_file file;
	struct names names;

	names_of(place, &names);
	nixl_file_look(place, NULL, &file);
	if (file.owner == NIXL_WHEEL) {
		snprintf(why, cap_bytes,
			 "it belongs to the wheel %s: pip uninstall tcpx-p2p",
			 place->wheel);
		return NULL;
	}
	if (file.owner == NIXL_US_CHANGED && !force) {
		snprintf(why, cap_bytes,
			 "%s was changed since it was installed; --force "
			 "removes it all the same",
			 names.file);
		return NULL;
	}
	if (file.owner == NIXL_OTHER && !(force && file.ours)) {
		snprintf(why, cap_bytes,
			 "%s is there, but not from this command%s", names.file,
			 file.ours ? "; --force removes it" : "");
		return NULL;
	}
	if (file.backup) {
		if (rename(names.backup, names.plugin))
			return failed(why, cap_bytes, "cannot bring back",
				      names.backup);
	} else if (file.owner != NIXL_NOBODY && unlink(names.plugin)) {
		return failed(why, cap_bytes, "cannot remove", names.plugin);
	}
	if (unlink(names.note) && errno != ENOENT)
		return failed(why, cap_bytes, "cannot remove", names.note);
	if (file.backup)
		return "restored";
	return file.owner == NIXL_NOBODY ? "absent" : "removed";
}
