#pragma once

// The entries of a directory that is held in memory: found by name, read in an order that stands
// still while others come and go.

#include "base/allocator.h"
#include "vfs/calendar.h"
#include "vfs/node.h"
#include "vfs/sorted.h"

namespace bulkhead::vfs {

/* A name and the node that it leads to. The name's characters follow in the same memory. */
class Entry final
{
private:
	friend class Entries;

	struct By_name : Sorted_link<By_name, By_name>
	{
		Entry *entry = nullptr;
		static std::string_view key(By_name const &e) { return e.entry->name(); }
	};
	struct By_cookie : Sorted_link<By_cookie, By_cookie>
	{
		Entry *entry = nullptr;
		static uint64_t key(By_cookie const &e) { return e.entry->_cookie; }
	};

	By_name _by_name{};
	By_cookie _by_cookie{};
	uint64_t const _cookie;
	size_t const _name_size;

	Entry(uint64_t cookie, std::string_view name, Ref<Node> n, uint64_t i)
		: _cookie(cookie), _name_size(name.size()), node(std::move(n)), inode(i)
	{
		_by_name.entry = _by_cookie.entry = this;
		std::copy(name.begin(), name.end(), reinterpret_cast<char *>(this + 1));
	}

public:
	Ref<Node> node;
	uint64_t inode;

	Entry(Entry const &) = delete;
	Entry &operator=(Entry const &) = delete;

	std::string_view name() const { return {reinterpret_cast<char const *>(this + 1), _name_size}; }
};

class Entries
{
private:
	Allocator &_allocator;
	Sorted<Entry::By_name, Entry::By_name> _names{};
	Sorted<Entry::By_cookie, Entry::By_cookie> _cookies{};
	uint64_t _last_cookie = 0;

public:
	explicit Entries(Allocator &allocator) : _allocator(allocator) {}
	~Entries()
	{
		while (Entry *const entry = first()) static_cast<void>(remove(*entry));
	}

	bool empty() const { return _names.empty(); }
	size_t size() const { return _names.size(); }

	/* Null if there is no such name. */
	Entry *find(std::string_view name) const
	{
		auto *const found = _names.find(name);
		return found ? found->entry : nullptr;
	}

	/* The oldest entry, null if there is none. */
	Entry *first() const
	{
		auto *const found = _cookies.first();
		return found ? found->entry : nullptr;
	}

	/* Adds a name that isn't there yet. Error: OUT_OF_MEMORY. */
	Attempt<Entry &> add(std::string_view name, Ref<Node> node, uint64_t inode)
	{
		auto memory = _allocator.allocate(sizeof(Entry) + name.size(), alignof(Entry));
		if (!memory.ok()) return memory.error();
		void *const at = memory.value().data();
		Entry &entry = *::new (at) Entry(++_last_cookie, name, std::move(node), inode);
		_names.insert(entry._by_name);
		_cookies.insert(entry._by_cookie);
		return entry;
	}

	/* Takes an entry out and yields what it led to. */
	Ref<Node> remove(Entry &entry)
	{
		Ref<Node> node = std::move(entry.node);
		size_t const size = sizeof(Entry) + entry._name_size;
		_names.remove(entry._by_name);
		_cookies.remove(entry._by_cookie);
		entry.~Entry();
		_allocator.free(&entry, size);
		return node;
	}

	/* As File::read_directory. */
	void read(uint64_t from_cookie, Entry_sink &sink) const
	{
		if (from_cookie >= _last_cookie) return;
		auto *at = _cookies.first_from(from_cookie + 1);
		for (; at; at = _cookies.next(*at)) {
			Entry const &e = *at->entry;
			if (!sink.entry(e.name(), e.node->type(), e.inode, e._cookie)) return;
		}
	}
};

/* An open directory whose entries are held in memory. */
class Entries_file final : public File
{
private:
	Allocator &_allocator;
	Ref<Node> const _directory;
	Entries const &_entries;

protected:
	void unreferenced() override { destroy(_allocator, *this); }

public:
	/* The entries live as long as the directory. */
	Entries_file(Allocator &allocator, Ref<Node> directory, Entries const &entries)
		: _allocator(allocator), _directory(std::move(directory)), _entries(entries)
	{}

	Task<void> read_directory(Job &, uint64_t from_cookie, Entry_sink &sink) override
	{
		_entries.read(from_cookie, sink);
		return Ok{};
	}
};

/* Makes a counted object, which frees itself. Error: OUT_OF_MEMORY. */
template <typename T, typename... ARGS>
Attempt<Ref<T>> create_counted(Allocator &allocator, ARGS &&...args)
{
	auto object = create<T>(allocator, allocator, std::forward<ARGS>(args)...);
	if (!object.ok()) return object.error();
	return Ref<T>(object.value());
}

/* Makes what opening a node yields. Error: OUT_OF_MEMORY. */
template <typename T, typename... ARGS>
Task<Ref<File>> open_as(Allocator &allocator, ARGS &&...args)
{
	auto file = create_counted<T>(allocator, std::forward<ARGS>(args)...);
	if (!file.ok()) return file.error();
	return Ref<File>(std::move(file).value());
}

} // namespace bulkhead::vfs
