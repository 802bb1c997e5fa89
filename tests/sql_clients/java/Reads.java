import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Properties;

/** Reads the analysts' views with the JDBC driver's defaults, and prints a line a row. */
public class Reads {
    public static void main(String[] args) throws Exception {
        Properties login = new Properties();
        login.setProperty("user", "analyst");
        login.setProperty("password", args[1]);
        try (Connection connection = DriverManager.getConnection("jdbc:clickhouse:http://" + args[0] + "/lpstream", login);
             Statement statement = connection.createStatement()) {
            try (ResultSet rows = statement.executeQuery(args[2])) {
                while (rows.next()) {
                    System.out.println("row " + rows.getString(1) + " " + rows.getLong(2) + " " + rows.getArray(3)
                        + " " + rows.getString(4) + " " + (rows.getObject(5) == null));
                }
            }
            statement.setMaxRows(2); // as DBeaver does for each query
            try (ResultSet rows = statement.executeQuery("SELECT number FROM numbers(100000) SETTINGS max_threads = 1")) {
                System.out.println("limited " + rows.next());
            }
            statement.setMaxRows(0);
            try {
                statement.executeQuery("SELECT nothing FROM lp_windows");
            } catch (SQLException error) {
                System.out.println("error " + error.getErrorCode() + " " + error.getMessage());
            }
        }
    }
}
