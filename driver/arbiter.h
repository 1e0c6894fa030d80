#pragma once

// Who may use a bus now. A client gets it for one transaction (a Turn), in the order of asking; a
// client that holds the bus keeps everyone else out between its transactions, too. Every bus driver
// (SPI, I²C …) arbitrates with this class and with nothing else.

#include "base/event.h"

#include <utility>

namespace bulkhead {

class Arbiter
{
public:
	/*
	 * The identity for which the bus is held: a device session, however many jobs work for it. What
	 * it still holds when it ends is released.
	 */
	class Client
	{
	private:
		friend class Arbiter;

		Arbiter &_arbiter;

	public:
		explicit Client(Arbiter &arbiter) : _arbiter(arbiter) {}
		Client(Client const &) = delete;
		Client &operator=(Client const &) = delete;
		~Client() { _arbiter._forget(*this); }
	};

	/* One transaction; the bus is handed on when it is destroyed. */
	class [[nodiscard]] Turn
	{
	private:
		Client *_client;

	public:
		explicit Turn(Client &client) : _client(&client) {}
		Turn(Turn &&other) noexcept : _client(std::exchange(other._client, nullptr)) {}
		Turn &operator=(Turn &&) = delete;
		~Turn()
		{
			if (_client) _client->_arbiter.end(*_client);
		}

		/* Leaves it to the caller to `end` the transaction. */
		void pass_on() { _client = nullptr; }
	};

	struct [[nodiscard]] Wait : Link<Wait>
	{
		Arbiter &arbiter;
		Client &client;
		Job &job;
		uint64_t const until_us;
		bool suspended = false;
		bool granted = false;

		Wait(Arbiter &a, Client &c, Job &j, uint64_t until)
			: arbiter(a), client(c), job(j), until_us(until)
		{}

		bool await_ready()
		{
			if (job.cancelled()) return true;
			granted = arbiter.try_begin(client);
			return granted;
		}

		void await_suspend(std::coroutine_handle<> coroutine)
		{
			suspended = true;
			arbiter._waits.push_back(*this);
			job.wait_in(nullptr, coroutine, until_us);
		}

		Attempt<Turn> await_resume()
		{
			unlink();
			if (std::exchange(granted, false)) return Turn{client};
			if (!suspended) return Error::CANCELLED;
			return job.wait_result().error();
		}

		// A frame that is destroyed while it waits passes on what it was granted.
		~Wait()
		{
			unlink();
			if (granted) arbiter.end(client);
		}
	};

private:
	List<Wait> _waits{};
	Client const *_turn = nullptr; // whose transaction goes on
	Client const *_holder = nullptr; // who keeps the bus between transactions

	void _grant_next()
	{
		for (Wait *wait = _waits.front(); wait; wait = _waits.next(*wait)) {
			// One that was cancelled or came too late stays so, though its job doesn't know yet.
			if (!wait->job.waiting()) continue;
			if (!try_begin(wait->client)) continue;
			wait->unlink();
			wait->granted = true;
			wait->job.fulfil();
			return;
		}
	}

	void _forget(Client const &client)
	{
		BULKHEAD_ASSERT(_turn != &client);
		release(client);
	}

public:
	Arbiter() = default;
	Arbiter(Arbiter const &) = delete;
	Arbiter &operator=(Arbiter const &) = delete;

	/*
	 * `co_await arbiter.turn(job, client)` yields a Turn. Errors: CANCELLED, TIMEOUT (microseconds
	 * of the executor's clock).
	 */
	Wait turn(Job &job, Client &client, uint64_t until_us = NEVER_US)
	{
		return {*this, client, job, until_us};
	}

	/* Begins a transaction if the bus is free for this client; it lasts until `end`. */
	bool try_begin(Client const &client)
	{
		if (_turn || (_holder && _holder != &client)) return false;
		_turn = &client;
		return true;
	}

	/* Ends the transaction of this client and begins the next one that waits. */
	void end(Client const &client)
	{
		BULKHEAD_ASSERT(_turn == &client);
		_turn = nullptr;
		_grant_next();
	}

	/* During a transaction: the client keeps the bus when the transaction has ended. */
	void hold(Client const &client)
	{
		BULKHEAD_ASSERT(_turn == &client);
		_holder = &client;
	}

	/* Gives up what the client holds; false if it holds nothing. */
	bool release(Client const &client)
	{
		if (_holder != &client) return false;
		_holder = nullptr;
		if (!_turn) _grant_next();
		return true;
	}

	/* Whether a transaction of the client goes on. */
	bool in_turn(Client const &client) const { return _turn == &client; }

	bool held_by(Client const &client) const { return _holder == &client; }
	bool busy() const { return _turn || _holder; }
};

} // namespace bulkhead
