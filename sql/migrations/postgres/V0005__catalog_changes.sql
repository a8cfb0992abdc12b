-- What changed of what Core holds in memory. Only columns that Core holds: never counters, states, revisions, last uses.
--
-- A reader goes on from the last seq that it knows, so no lower one may appear later. Numbers are given at the end of a transaction, when
-- nothing else of it can wait: until then its changes stand in catalog_pending, which nobody else sees.

CREATE TABLE catalog_changes (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    table_name text NOT NULL,
    -- Below 0: all rows of the table.
    row_id bigint NOT NULL
);

-- No row of these two outlives its transaction: there is nothing to recover after a crash.
CREATE UNLOGGED TABLE catalog_pending (
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    table_name text NOT NULL,
    row_id bigint NOT NULL
);

CREATE INDEX catalog_pending_by_xid ON catalog_pending (xid);

CREATE UNLOGGED TABLE catalog_commits (
    xid xid8 PRIMARY KEY DEFAULT pg_current_xact_id()
);

-- The rights of whoever made Core's schema: a panel needs no rights but those on the tables that it writes.
CREATE FUNCTION catalog_number() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('catalog_changes ' || current_schema(), 0));
    WITH done AS (
        DELETE FROM catalog_pending WHERE xid = NEW.xid RETURNING table_name, row_id
    )
    INSERT INTO catalog_changes (table_name, row_id) SELECT DISTINCT table_name, row_id FROM done;
    DELETE FROM catalog_commits WHERE xid = NEW.xid;
    PERFORM pg_notify('core_catalog', current_schema());
    RETURN NULL;
END;
$$;

CREATE CONSTRAINT TRIGGER catalog_number AFTER INSERT ON catalog_commits
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION catalog_number();

CREATE FUNCTION catalog_inserted() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_TABLE_NAME = 'node_protocol_links' THEN
        -- Of members the row that changed is their inbound: a reader takes all of its members again.
        INSERT INTO catalog_pending (table_name, row_id) SELECT DISTINCT TG_TABLE_NAME, proto_id FROM rows_new;
    ELSE
        INSERT INTO catalog_pending (table_name, row_id) SELECT TG_TABLE_NAME, id FROM rows_new;
    END IF;
    IF FOUND THEN
        INSERT INTO catalog_commits DEFAULT VALUES ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END;
$$;

CREATE FUNCTION catalog_deleted() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_TABLE_NAME = 'node_protocol_links' THEN
        INSERT INTO catalog_pending (table_name, row_id) SELECT DISTINCT TG_TABLE_NAME, proto_id FROM rows_old;
    ELSE
        INSERT INTO catalog_pending (table_name, row_id) SELECT TG_TABLE_NAME, id FROM rows_old;
    END IF;
    IF FOUND THEN
        INSERT INTO catalog_commits DEFAULT VALUES ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END;
$$;

CREATE FUNCTION catalog_emptied() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO catalog_pending (table_name, row_id) VALUES (TG_TABLE_NAME, -1);
    INSERT INTO catalog_commits DEFAULT VALUES ON CONFLICT DO NOTHING;
    RETURN NULL;
END;
$$;

-- A row at a time, because only then PostgreSQL looks at which columns a statement sets: the flush, which sets counters, pays nothing.
CREATE FUNCTION catalog_updated() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO catalog_pending (table_name, row_id) VALUES (TG_TABLE_NAME, NEW.id);
    IF OLD.id <> NEW.id THEN
        INSERT INTO catalog_pending (table_name, row_id) VALUES (TG_TABLE_NAME, OLD.id);
    END IF;
    INSERT INTO catalog_commits DEFAULT VALUES ON CONFLICT DO NOTHING;
    RETURN NULL;
END;
$$;

CREATE FUNCTION catalog_member_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO catalog_pending (table_name, row_id) VALUES (TG_TABLE_NAME, NEW.proto_id), (TG_TABLE_NAME, OLD.proto_id);
    INSERT INTO catalog_commits DEFAULT VALUES ON CONFLICT DO NOTHING;
    RETURN NULL;
END;
$$;

-- Its members have places in its network now, or no longer.
CREATE FUNCTION catalog_network_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO catalog_pending (table_name, row_id) VALUES ('node_protocol_links', NEW.id);
    INSERT INTO catalog_commits DEFAULT VALUES ON CONFLICT DO NOTHING;
    RETURN NULL;
END;
$$;

CREATE TRIGGER node_protocols_network AFTER UPDATE OF protocol ON node_protocols
FOR EACH ROW WHEN ((OLD.protocol = 'wireguard') <> (NEW.protocol = 'wireguard'))
EXECUTE FUNCTION catalog_network_updated();

CREATE TRIGGER nodes_inserted AFTER INSERT ON nodes
REFERENCING NEW TABLE AS rows_new FOR EACH STATEMENT EXECUTE FUNCTION catalog_inserted();

CREATE TRIGGER nodes_updated AFTER UPDATE OF name, ip, port, region, domain, enabled, traffic_multiplier ON nodes
FOR EACH ROW EXECUTE FUNCTION catalog_updated();

CREATE TRIGGER nodes_deleted AFTER DELETE ON nodes
REFERENCING OLD TABLE AS rows_old FOR EACH STATEMENT EXECUTE FUNCTION catalog_deleted();

CREATE TRIGGER nodes_emptied AFTER TRUNCATE ON nodes
FOR EACH STATEMENT EXECUTE FUNCTION catalog_emptied();

CREATE TRIGGER node_keys_inserted AFTER INSERT ON node_keys
REFERENCING NEW TABLE AS rows_new FOR EACH STATEMENT EXECUTE FUNCTION catalog_inserted();

CREATE TRIGGER node_keys_updated AFTER UPDATE OF revoked_at ON node_keys
FOR EACH ROW EXECUTE FUNCTION catalog_updated();

CREATE TRIGGER node_keys_deleted AFTER DELETE ON node_keys
REFERENCING OLD TABLE AS rows_old FOR EACH STATEMENT EXECUTE FUNCTION catalog_deleted();

CREATE TRIGGER node_keys_emptied AFTER TRUNCATE ON node_keys
FOR EACH STATEMENT EXECUTE FUNCTION catalog_emptied();

CREATE TRIGGER users_inserted AFTER INSERT ON users
REFERENCING NEW TABLE AS rows_new FOR EACH STATEMENT EXECUTE FUNCTION catalog_inserted();

CREATE TRIGGER users_updated AFTER UPDATE OF id, uuid, name, status ON users
FOR EACH ROW EXECUTE FUNCTION catalog_updated();

CREATE TRIGGER users_deleted AFTER DELETE ON users
REFERENCING OLD TABLE AS rows_old FOR EACH STATEMENT EXECUTE FUNCTION catalog_deleted();

CREATE TRIGGER users_emptied AFTER TRUNCATE ON users
FOR EACH STATEMENT EXECUTE FUNCTION catalog_emptied();

CREATE TRIGGER subscriptions_inserted AFTER INSERT ON subscriptions
REFERENCING NEW TABLE AS rows_new FOR EACH STATEMENT EXECUTE FUNCTION catalog_inserted();

CREATE TRIGGER subscriptions_updated AFTER UPDATE OF
    id, user_id, status, starts_at, expires_at, traffic_limit_bytes, reset_strategy, max_ips, rate_up_bps,
    rate_down_bps
ON subscriptions FOR EACH ROW EXECUTE FUNCTION catalog_updated();

CREATE TRIGGER subscriptions_deleted AFTER DELETE ON subscriptions
REFERENCING OLD TABLE AS rows_old FOR EACH STATEMENT EXECUTE FUNCTION catalog_deleted();

CREATE TRIGGER subscriptions_emptied AFTER TRUNCATE ON subscriptions
FOR EACH STATEMENT EXECUTE FUNCTION catalog_emptied();

CREATE TRIGGER links_inserted AFTER INSERT ON links
REFERENCING NEW TABLE AS rows_new FOR EACH STATEMENT EXECUTE FUNCTION catalog_inserted();

CREATE TRIGGER links_updated AFTER UPDATE OF id, user_id, name, enabled, revoked_at ON links
FOR EACH ROW EXECUTE FUNCTION catalog_updated();

CREATE TRIGGER links_deleted AFTER DELETE ON links
REFERENCING OLD TABLE AS rows_old FOR EACH STATEMENT EXECUTE FUNCTION catalog_deleted();

CREATE TRIGGER links_emptied AFTER TRUNCATE ON links
FOR EACH STATEMENT EXECUTE FUNCTION catalog_emptied();

CREATE TRIGGER subscription_links_inserted AFTER INSERT ON subscription_links
REFERENCING NEW TABLE AS rows_new FOR EACH STATEMENT EXECUTE FUNCTION catalog_inserted();

CREATE TRIGGER subscription_links_updated AFTER UPDATE OF id, uuid, link_id, subscription_id, enabled ON subscription_links
FOR EACH ROW EXECUTE FUNCTION catalog_updated();

CREATE TRIGGER subscription_links_deleted AFTER DELETE ON subscription_links
REFERENCING OLD TABLE AS rows_old FOR EACH STATEMENT EXECUTE FUNCTION catalog_deleted();

CREATE TRIGGER subscription_links_emptied AFTER TRUNCATE ON subscription_links
FOR EACH STATEMENT EXECUTE FUNCTION catalog_emptied();

CREATE TRIGGER node_protocols_inserted AFTER INSERT ON node_protocols
REFERENCING NEW TABLE AS rows_new FOR EACH STATEMENT EXECUTE FUNCTION catalog_inserted();

CREATE TRIGGER node_protocols_updated AFTER UPDATE OF
    id, node_id, protocol, tag, enabled, listen, port, network, security, flow, settings, stream_settings,
    sniffing, public_host, public_port, position, deleted_at
ON node_protocols FOR EACH ROW EXECUTE FUNCTION catalog_updated();

CREATE TRIGGER node_protocols_deleted AFTER DELETE ON node_protocols
REFERENCING OLD TABLE AS rows_old FOR EACH STATEMENT EXECUTE FUNCTION catalog_deleted();

CREATE TRIGGER node_protocols_emptied AFTER TRUNCATE ON node_protocols
FOR EACH STATEMENT EXECUTE FUNCTION catalog_emptied();

CREATE TRIGGER node_protocol_links_inserted AFTER INSERT ON node_protocol_links
REFERENCING NEW TABLE AS rows_new FOR EACH STATEMENT EXECUTE FUNCTION catalog_inserted();

CREATE TRIGGER node_protocol_links_updated AFTER UPDATE OF proto_id, ls_id ON node_protocol_links
FOR EACH ROW EXECUTE FUNCTION catalog_member_updated();

CREATE TRIGGER node_protocol_links_deleted AFTER DELETE ON node_protocol_links
REFERENCING OLD TABLE AS rows_old FOR EACH STATEMENT EXECUTE FUNCTION catalog_deleted();

CREATE TRIGGER node_protocol_links_emptied AFTER TRUNCATE ON node_protocol_links
FOR EACH STATEMENT EXECUTE FUNCTION catalog_emptied();

CREATE TRIGGER node_outbounds_inserted AFTER INSERT ON node_outbounds
REFERENCING NEW TABLE AS rows_new FOR EACH STATEMENT EXECUTE FUNCTION catalog_inserted();

CREATE TRIGGER node_outbounds_updated AFTER UPDATE OF id, node_id, tag, protocol, config, position, enabled, deleted_at ON node_outbounds
FOR EACH ROW EXECUTE FUNCTION catalog_updated();

CREATE TRIGGER node_outbounds_deleted AFTER DELETE ON node_outbounds
REFERENCING OLD TABLE AS rows_old FOR EACH STATEMENT EXECUTE FUNCTION catalog_deleted();

CREATE TRIGGER node_outbounds_emptied AFTER TRUNCATE ON node_outbounds
FOR EACH STATEMENT EXECUTE FUNCTION catalog_emptied();

CREATE TRIGGER node_routing_rules_inserted AFTER INSERT ON node_routing_rules
REFERENCING NEW TABLE AS rows_new FOR EACH STATEMENT EXECUTE FUNCTION catalog_inserted();

CREATE TRIGGER node_routing_rules_updated AFTER UPDATE OF id, node_id, position, rule, outbound_id, balancer_tag, enabled ON node_routing_rules
FOR EACH ROW EXECUTE FUNCTION catalog_updated();

CREATE TRIGGER node_routing_rules_deleted AFTER DELETE ON node_routing_rules
REFERENCING OLD TABLE AS rows_old FOR EACH STATEMENT EXECUTE FUNCTION catalog_deleted();

CREATE TRIGGER node_routing_rules_emptied AFTER TRUNCATE ON node_routing_rules
FOR EACH STATEMENT EXECUTE FUNCTION catalog_emptied();

CREATE TRIGGER node_balancers_inserted AFTER INSERT ON node_balancers
REFERENCING NEW TABLE AS rows_new FOR EACH STATEMENT EXECUTE FUNCTION catalog_inserted();

CREATE TRIGGER node_balancers_updated AFTER UPDATE OF id, node_id, tag, config ON node_balancers
FOR EACH ROW EXECUTE FUNCTION catalog_updated();

CREATE TRIGGER node_balancers_deleted AFTER DELETE ON node_balancers
REFERENCING OLD TABLE AS rows_old FOR EACH STATEMENT EXECUTE FUNCTION catalog_deleted();

CREATE TRIGGER node_balancers_emptied AFTER TRUNCATE ON node_balancers
FOR EACH STATEMENT EXECUTE FUNCTION catalog_emptied();
