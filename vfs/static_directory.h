#pragma once

// A directory whose entries are nodes of other plugins, put there by whoever builds the tree. Its
// clients can't change it.

#include "vfs/entries.h"
#include "vfs/permission.h"

namespace bulkhead::vfs {

class Static_directory final : public Node
{
private:
	static constexpr uint64_t INODE = 1;

	Allocator &_allocator;
	Calendar const &_calendar;
	Ownership const _ownership;
	Entries _entries;
	Watchers _watchers{};
	int64_t _modified_ns;
	uint64_t _last_inode = INODE;
	uint32_t _subdirectories = 0;

	void _changed();

protected:
	void unreferenced() override { destroy(_allocator, *this); }

public:
	Static_directory(Allocator &, Calendar const &, Ownership const &);

	/* Error: OUT_OF_MEMORY. */
	static Attempt<Ref<Static_directory>> create(
		Allocator &allocator, Calendar const &calendar, Ownership const &ownership = {.mode = 0755})
	{
		return create_counted<Static_directory>(allocator, calendar, ownership);
	}

	/* Adds an entry. Errors: INVALID (as a name), EXISTS, OUT_OF_MEMORY. */
	Attempt<void> attach(std::string_view name, Ref<Node> node);

	/* Takes an entry out; those who have it open keep it. Error: NOT_FOUND. */
	Attempt<void> detach(std::string_view name);

	/*
	 * The entry of this name as a static directory, made if there is none. Errors:
	 * NOT_A_DIRECTORY (it is some other node), INVALID (as a name), OUT_OF_MEMORY.
	 */
	Attempt<Ref<Static_directory>> subdirectory(std::string_view name);

	/* The entry of this name, null if there is none. */
	Node *find(std::string_view name) const;

	bool empty() const { return _entries.empty(); }

	Type type() const override { return Type::DIRECTORY; }
	Static_directory *static_directory() override { return this; }
	Task<Stat> stat(Job &) override;
	Task<Ref<File>> open(Job &, Credentials const &, Access access) override;
	Task<Ref<Node>> lookup(Job &, std::string_view name) override;
	Attempt<void> watch(Watcher &watcher) override
	{
		_watchers.add(watcher);
		return Ok{};
	}
	uint32_t cache_us() const override { return 1'000'000; }
};

} // namespace bulkhead::vfs
