#pragma once

// Connections on which all is said, but whose other side may still be speaking: it is to read what
// it was told, and find an end there, instead of an error.

#include "base/list.h"
#include "component/qrexec/agent/deadlines.h"
#include "sdk/qrexec/data_channel.h"

#include <memory>

namespace bulkhead::qrexec {

/* Belongs to the loop's thread. */
class Farewells final
{
public:
	static constexpr size_t CHANNELS_MAX = 64; // the oldest goes when another one comes
	static constexpr uint64_t WITHIN_US = 5'000'000; // and nobody is waited for longer
	static constexpr size_t DROPPED_MAX = 1'048'576; // or listened to

private:
	class Farewell final : private linux_host::Loop::Source,
						   private Deadline,
						   public bulkhead::Link<Farewell>
	{
	private:
		Farewells &_farewells;
		std::unique_ptr<Data_channel> _channel;
		size_t _dropped = 0;

		void ready(uint32_t) override;
		void expired() override { _farewells._remove(*this); }

	public:
		Farewell(Farewells &farewells, std::unique_ptr<Data_channel> channel)
			: _farewells(farewells), _channel(std::move(channel))
		{}
		~Farewell() { _farewells._loop.remove(*this); }

		/* False: it can't be waited for. */
		bool begin();
	};

	linux_host::Loop &_loop;
	Deadlines _deadlines;
	List<Farewell> _list{};
	size_t _count = 0;

	void _remove(Farewell &farewell);

public:
	explicit Farewells(linux_host::Loop &loop) : _loop(loop), _deadlines(loop, WITHIN_US) {}
	~Farewells();

	/* Takes a connection that is in no loop. Nothing more is sent on it. */
	void add(std::unique_ptr<Data_channel> channel);
};

} // namespace bulkhead::qrexec
